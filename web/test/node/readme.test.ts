// The examples of README.md are compiled against the built package.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import { examples } from "./examples.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FOLDER = `${ROOT}dist-examples`;

function compile(files: readonly { name: string; code: string }[]): string[] {
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER);
  for (const { name, code } of files) writeFileSync(`${FOLDER}/${name}`, code);
  const program = ts.createProgram({
    rootNames: files.map(({ name }) => `${FOLDER}/${name}`),
    options: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      // As in a page with a bundler: the types of ChatKit do not resolve as those of Node.js do.
      moduleResolution: ts.ModuleResolutionKind.Bundler,
      jsx: ts.JsxEmit.ReactJSX,
      strict: true,
      noEmit: true,
      skipLibCheck: false,
      types: [],
    },
  });
  return ts.getPreEmitDiagnostics(program).map(({ messageText, file, start }) => {
    const line = file && start !== undefined ? file.getLineAndCharacterOfPosition(start).line : 0;
    const name = file?.fileName.replace(`${FOLDER}/`, "") ?? "";
    return `${name}:${line + 1}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`;
  });
}

describe("README.md", () => {
  const files = examples();

  test("examples_compile_against_the_package", () => {
    expect(files.length).toBeGreaterThanOrEqual(7);
    expect(compile(files)).toEqual([]);
  });

  test("an_example_with_a_fault_does_not_compile", () => {
    const broken = files.map(({ name, code }) => ({ name, code: code.replace("decidable", "x") }));
    expect(compile(broken).join()).toContain("inbox.ts");
  });
});

// The examples of README.md are compiled against the built package.

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import { block, directivesOf, examples, table } from "./examples.js";

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

  test("content_security_policy_is_that_of_the_page_of_the_local_stack", () => {
    const headers = new URL("../../../tools/dev-tools/src/dev/page/headers.rs", import.meta.url);
    const [, code = ""] =
      /pub fn policy.*?\{\s*\[(.*?)\]\s*\.join/s.exec(readFileSync(headers, "utf8")) ?? [];
    const ofPage = directivesOf([...code.matchAll(/"(.*?)"/g)].map(([, part]) => part).join(";"));
    const stated = directivesOf(block("Content security policy"));
    expect(stated.size).toBeGreaterThan(5);
    // Each page connects to other hosts, and has images, fonts and reports of its own.
    const own = ["connect-src", "font-src", "frame-ancestors", "img-src", "report-uri"];
    for (const name of own) [stated, ofPage].forEach((directives) => directives.delete(name));
    expect(Object.fromEntries(stated)).toEqual(Object.fromEntries(ofPage));
  });

  test("properties_are_those_of_the_elements", () => {
    const folder = `${ROOT}src/elements`;
    const code = readdirSync(folder).map((file) => readFileSync(`${folder}/${file}`, "utf8"));
    const used = [...code.join().matchAll(/var\((--cks-[a-z-]+)/g)].map(([, name]) => name);
    const stated = table("Colours and fonts").flatMap(([cell = ""]) => {
      const names = [...cell.matchAll(/`(--[a-z-]+)`/g)].map(([, name]) => name ?? "");
      return cell.includes("with `-soft`") ? names.flatMap((n) => [n, `${n}-soft`]) : names;
    });
    expect(new Set(stated)).toEqual(new Set(used));
  });

  test("sizes_are_the_limits_of_ci", () => {
    const json = readFileSync(`${ROOT}.size-limit.json`, "utf8");
    const limits = JSON.parse(json) as { name: string; limit: string }[];
    expect(table("Size")).toEqual(limits.map(({ name, limit }) => [name, limit]));
    const kilobytes = (name: string) =>
      parseFloat(limits.find((limit) => limit.name.startsWith(name))?.limit ?? "");
    const readme = readFileSync(`${ROOT}README.md`, "utf8");
    const [, page, form] = /card loads (\S+) kB at most, and (\S+) kB more/.exec(readme) ?? [];
    expect(Number(page)).toBe(kilobytes("core and card") + kilobytes("Lit"));
    expect(Number(form)).toBe(kilobytes("form"));
  });
});

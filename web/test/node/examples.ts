import { readFileSync } from "node:fs";

const README = new URL("../../README.md", import.meta.url);

/** A block of README.md without a name, under a heading. */
export function block(heading: string): string {
  const section = readFileSync(README, "utf8").split(`## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
  const [, , text] = /^```(css|text)\n(.*?)^```$/ms.exec(section) ?? [];
  if (text === undefined) throw new Error(`README.md does not have a block under ${heading}.`);
  return text;
}

/** The rows of the table of README.md under a heading. */
export function table(heading: string): string[][] {
  const section = readFileSync(README, "utf8").split(`## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
  const rows = section.split("\n").filter((line) => line.startsWith("|"));
  return rows.slice(2).map((row) =>
    row
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** The directives of a content security policy. */
export function directivesOf(policy: string): Map<string, string> {
  const parts = policy.split(";").map((part) => part.replace(/\s+/g, " ").trim());
  return new Map(
    parts.filter(Boolean).map((part) => {
      const [name = "", ...values] = part.split(" ");
      return [name, values.join(" ")];
    }),
  );
}

/** The examples of README.md that are files, for example those that begin with "```ts inbox.ts". */
export function examples(): { name: string; code: string }[] {
  const readme = readFileSync(README, "utf8");
  return [...readme.matchAll(/^```tsx? (\S+)\n(.*?)^```$/gms)].map(([, name = "", code = ""]) => ({
    name,
    code,
  }));
}

import { readFileSync } from "node:fs";

const README = new URL("../../README.md", import.meta.url);

/** The examples of README.md that are files, for example those that begin with "```ts inbox.ts". */
export function examples(): { name: string; code: string }[] {
  const readme = readFileSync(README, "utf8");
  return [...readme.matchAll(/^```tsx? (\S+)\n(.*?)^```$/gms)].map(([, name = "", code = ""]) => ({
    name,
    code,
  }));
}

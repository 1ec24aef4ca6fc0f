// A page with the module that docs/reference/api.md shows. Arguments: the module, and its options as JSON, with the user's `tokens`: the one
// at hand, and the one that there is when a fresh one is asked for.
//
// Each line of input is an array of what ChatKit.js calls getClientSecret with, all at once; the line of output says what
// came of it. It ends with its standard input.

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [path, json] = process.argv.slice(2);
const { tokens, ...options } = JSON.parse(json);
const { createGetClientSecret } = await import(pathToFileURL(path));

let token = tokens[0];
let freshened = 0;
let session = null;
const getClientSecret = createGetClientSecret({
  ...options,
  getAccessToken: async (fresh) => {
    if (fresh) {
      token = tokens[1];
      freshened += 1;
    }
    return token;
  },
  onSession: (opened) => (session = opened.id),
});

for await (const line of createInterface({ input: process.stdin })) {
  const calls = JSON.parse(line).map((current) => getClientSecret(current));
  const settled = await Promise.allSettled(calls);
  const results = settled.map(({ value, reason }) => value ?? { code: reason.code ?? String(reason) });
  console.log(JSON.stringify({ results, session, freshened }));
}

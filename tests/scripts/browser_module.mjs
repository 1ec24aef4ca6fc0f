// Runs the module that docs/reference/api.md shows. Arguments: the path of the module, and its
// options as JSON with `tokens`, which are the first access token and the fresh one.
//
// Each line of input is an array of arguments of getClientSecret, which is called with all of them
// concurrently. Each line of output contains the results.

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [path, json] = process.argv.slice(2);
const { tokens, ...options } = JSON.parse(json);
const { createGetClientSecret } = await import(pathToFileURL(path));

let token = tokens[0];
let refreshes = 0;
let session = null;
const getClientSecret = createGetClientSecret({
  ...options,
  getAccessToken: async (fresh) => {
    if (fresh) {
      token = tokens[1];
      refreshes += 1;
    }
    return token;
  },
  onSession: (opened) => (session = opened.id),
});

for await (const line of createInterface({ input: process.stdin })) {
  const calls = JSON.parse(line).map((current) => getClientSecret(current));
  const settled = await Promise.allSettled(calls);
  const results = settled.map(({ value, reason }) => value ?? { code: reason.code ?? String(reason) });
  console.log(JSON.stringify({ results, session, refreshes }));
}

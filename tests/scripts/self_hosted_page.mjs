// Runs `examples/web/chat.js` in the session of a self-hosted agent, with an element in place of
// ChatKit.js. Arguments: the module, and its options as JSON with the user's `token` and the local
// `chatUrl`.
//
// Sends messages as ChatKit.js does, and prints the options of the chat and what was sent.

import { pathToFileURL } from "node:url";

const [path, json] = process.argv.slice(2);
const { token, chatUrl, ...options } = JSON.parse(json);
const { configureChat } = await import(pathToFileURL(path));

/** The requests of the page: path, idempotency key, status, and the body of those to the API. */
const requests = [];
/** Changes the next request to the chat. */
let fault = null;
const realFetch = globalThis.fetch;
globalThis.fetch = async (input, init) => {
  const headers = new Headers(init.headers);
  const change = String(input) === chatUrl ? fault : null;
  if (change) fault = null;
  if (change === "reject") headers.set("Authorization", "Bearer ek_unknown");
  const response = await realFetch(input, { ...init, headers });
  const { pathname } = new URL(input);
  const key = headers.get("Idempotency-Key");
  const body = pathname === "/chatkit/sessions" ? JSON.parse(init.body) : undefined;
  requests.push({ path: pathname, key, status: response.status, body });
  return change === "break" ? broken(response) : response;
};

/** The response, broken off after its first part. */
function broken(response) {
  const reader = response.body.getReader();
  let parts = 0;
  const stream = new ReadableStream({
    async pull(controller) {
      const { value } = await reader.read();
      if (parts++ > 0) throw new TypeError("network error");
      controller.enqueue(value);
    },
  });
  return new Response(stream, { status: response.status, headers: response.headers });
}

class ChatKitElement extends EventTarget {
  setOptions(options) {
    this.options = options;
  }
}

const chatkit = new ChatKitElement();
const errors = [];
await configureChat(chatkit, {
  ...options,
  getAccessToken: async () => token,
  tools: new Map(),
  showError: (message) => errors.push(message),
});
const { api, startScreen } = chatkit.options;

/** Sends a request as ChatKit.js does. */
function send(type, params, signal) {
  const body = JSON.stringify({ type, params, metadata: {} });
  const headers = { "content-type": "application/json" };
  return api.fetch(chatUrl, { method: "POST", headers, body, signal });
}

const message = (text) => ({ content: [{ type: "input_text", text }], inference_options: {} });
const keys = () => requests.filter(({ path }) => path === "/chatkit").map(({ key }) => key);

// A complete answer; the same words again are a new message.
const events = (await (await send("threads.create", { input: message("Hello") })).text())
  .trimEnd().split("\n\n").map((event) => JSON.parse(event.slice("data: ".length)));
const thread = events[0].thread.id;
const add = (text, signal) => send("threads.add_user_message", { thread_id: thread, input: message(text) }, signal);
await (await add("Again")).text();
await (await add("Again")).text();
const repeatedWords = keys();

// A response that breaks off is requested again.
fault = "break";
const cut = await (await add("Broken")).text().catch((error) => error.message);
const answer = await (await add("Broken")).text();
const afterBreak = keys().slice(3);

// A rejected secret is replaced. Requests that do not ask the model have no key.
fault = "reject";
const before = requests.length;
const list = await (await send("threads.list", { limit: 9999, order: "desc" })).json();
const afterRejection = requests.slice(before);

// The user stops the answer: ChatKit.js aborts its request. The next message has another key.
const abort = new AbortController();
const stopped = await add("Stop me", abort.signal);
const reader = stopped.body.getReader();
await reader.read();
abort.abort();
const aborted = await reader.read().then(
  async function drain({ done }) {
    return done ? "complete" : drain(await reader.read());
  },
).catch((error) => error.name);
while (!requests.some(({ path }) => path.endsWith("/stop"))) await new Promise((r) => setTimeout(r, 20));
const stop = requests.find(({ path }) => path.endsWith("/stop"));

const { url, domainKey } = api;
console.log(JSON.stringify({
  url, domainKey, startScreen, errors, thread, repeatedWords, cut, answer, afterBreak,
  threads: list.data.length, afterRejection, aborted, stop,
}));

// Runs `examples/web/chat.js` with an element in place of ChatKit.js, which needs a browser.
// Arguments: the module, and its options as JSON with the user's `token`, and `nextAgentId`, an agent
// with the other provider.
//
// Plays what happens in a chat, hands the session over, and prints the client secret, the session, the
// errors shown, and the options after the handover.

import { pathToFileURL } from "node:url";

const [path, json] = process.argv.slice(2);
const { token, nextAgentId, ...options } = JSON.parse(json);
const { configureChat } = await import(pathToFileURL(path));

class ChatKitElement extends EventTarget {
  setOptions(options) {
    this.options = options;
  }

  async setThreadId(threadId) {
    this.threadId = threadId;
  }

  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

const chatkit = new ChatKitElement();
const errors = [];
let session = null;
await configureChat(chatkit, {
  ...options,
  getAccessToken: async () => token,
  tools: new Map([["show_invoice", ({ invoice }) => ({ shown: invoice })]]),
  showError: (message) => errors.push(message),
  onSession: ({ id }) => (session = id),
});
const { api, onClientTool, widgets } = chatkit.options;

// ChatKit.js may report the new thread before it requests a secret.
chatkit.emit("chatkit.thread.change", { threadId: null });
const secret = await api.getClientSecret(null);
chatkit.emit("chatkit.thread.change", { threadId: "cthr_page" });
const shown = await onClientTool({ name: "show_invoice", params: { invoice: "42" } });
const unknown = await onClientTool({ name: "toString", params: {} }).catch((error) => error.message);
chatkit.emit("chatkit.error", { error: new TypeError("The frame was not loaded.") });
// Events are recorded in order, so this one is the last.
const payload = { invoice: "42", amountCents: 90000 };
await widgets.onAction({ type: "pay", payload }, { id: "widget_1" });

const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
const handover = { id: crypto.randomUUID(), type: "handover", payload: { agentId: nextAgentId } };
const url = `${options.baseUrl}/chatkit/sessions/${session}/events`;
await fetch(url, { method: "POST", headers, body: JSON.stringify([handover]) });
// The previous agent's client secret does not work any more, so ChatKit.js requests another one.
await api.getClientSecret(secret);
const changed = { api: Object.keys(chatkit.options.api), threadId: chatkit.threadId };
console.log(JSON.stringify({ secret, session, shown, unknown, errors, changed }));

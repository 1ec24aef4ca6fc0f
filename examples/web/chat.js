// Connects ChatKit.js with the API: client secrets, and events of the session.

/** @import { OpenAIChatKit } from "@openai/chatkit" */

import { createGetClientSecret } from "./chatkit-session.js";
import { createEventRecorder } from "./session-events.js";

/**
 * A function that ChatKit's workflow calls in the page (a client tool).
 *
 * @typedef {(params: Record<string, unknown>) => Record<string, unknown>} Tool
 */

/**
 * @typedef {object} Options
 * @property {string} baseUrl The URL of the API, without a slash at its end.
 * @property {string} agentId The agent to open a session with.
 * @property {(fresh: boolean) => Promise<string>} getAccessToken The user's Supabase access token;
 *   a new one if `fresh` is true.
 * @property {Map<string, Tool>} tools The page's tools by their names.
 * @property {(message: string) => void} showError
 * @property {string} [sessionId] The session to resume. Without it, a session is opened.
 * @property {(session: { id: string }) => void} [onSession] Called with the session to resume.
 */

/**
 * @param {OpenAIChatKit} chatkit
 * @param {Options} options
 */
export function configureChat(chatkit, options) {
  const { tools, showError, onSession } = options;
  const events = createEventRecorder(options);
  const getClientSecret = createGetClientSecret({
    ...options,
    onSession(session) {
      events.setSession(session.id);
      onSession?.(session);
    },
  });
  /** @type {string | null} */
  let threadId = null;

  /** @param {unknown} error */
  const report = (error) => showError(messageOf(error));

  /**
   * @param {string} type
   * @param {object} payload
   */
  const record = (type, payload) => events.record(type, payload).catch(report);

  // `thread_changed` links the thread to the session. The API shows linked threads only.
  chatkit.addEventListener("chatkit.thread.change", (event) => {
    threadId = event.detail.threadId;
    record("thread_changed", { threadId });
  });

  chatkit.addEventListener("chatkit.error", (event) => {
    const { error } = event.detail;
    report(error);
    record("error", { message: messageOf(error), name: error.name, threadId });
  });

  chatkit.setOptions({
    api: {
      async getClientSecret(current) {
        try {
          return await getClientSecret(current);
        } catch (error) {
          report(error);
          throw error;
        }
      },
    },
    widgets: {
      // The event reaches the agent, which handles the action.
      async onAction(action, widgetItem) {
        const { type, payload: data } = action;
        await record("button_click", { action: type, widgetId: widgetItem.id, data, threadId });
      },
    },
    async onClientTool({ name, params }) {
      const call = { name, callId: crypto.randomUUID(), threadId };
      record("tool_call", { ...call, arguments: params });
      try {
        const tool = tools.get(name);
        if (!tool) throw new Error(`The page does not have the tool ${name}.`);
        return tool(params);
      } catch (error) {
        record("tool_failed", { ...call, message: messageOf(error) });
        throw error;
      }
    },
  });
}

/**
 * The text of an error, within the length of a message in an event.
 *
 * @param {unknown} error
 */
function messageOf(error) {
  const message = error instanceof Error ? error.message : String(error);
  return message.slice(0, 2000) || "Unknown error";
}

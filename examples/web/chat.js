// Connects ChatKit.js with the API: client secrets, and events of the session.

/** @import { ChatKitOptions, OpenAIChatKit } from "@openai/chatkit" */
/** @import { Session } from "./chatkit-session.js" */

import { createGetClientSecret } from "./chatkit-session.js";
import { createChatFetch, stopResponse } from "./self-hosted-chat.js";
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
 * Opens or resumes the session, and configures ChatKit.js for its provider. When a handover has moved
 * the session to an agent with the other provider, it does so again with the next client secret.
 *
 * @param {OpenAIChatKit} chatkit
 * @param {Options} options
 */
export async function configureChat(chatkit, options) {
  const { tools, showError, onSession } = options;
  const events = createEventRecorder(options);
  /** @type {Session | undefined} */
  let session;
  const getClientSecret = createGetClientSecret({
    ...options,
    onSession(opened) {
      const provider = session?.chatkit.provider;
      session = opened;
      events.setSession(opened.id);
      onSession?.(opened);
      if (provider && provider !== opened.chatkit.provider) {
        setOptions();
        // The new provider does not have the thread.
        chatkit.setThreadId(null).catch(report);
      }
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

  /** @param {string | null} current */
  const reportingGetClientSecret = (current) =>
    getClientSecret(current).catch((error) => {
      report(error);
      throw error;
    });

  await reportingGetClientSecret(null);
  setOptions();

  // `thread_changed` links the thread to the session: of a hosted agent's threads, the API shows only
  // linked ones. It knows a self-hosted agent's threads itself.
  chatkit.addEventListener("chatkit.thread.change", (event) => {
    threadId = event.detail.threadId;
    const isHosted = session?.chatkit.provider === "openai_hosted";
    if (isHosted) record("thread_changed", { threadId });
  });

  chatkit.addEventListener("chatkit.error", (event) => {
    const { error } = event.detail;
    report(error);
    record("error", { message: messageOf(error), name: error.name, threadId });
  });

  function setOptions() {
    chatkit.setOptions({
      ...apiOptions(),
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

  /** @returns {Pick<ChatKitOptions, "api" | "startScreen">} */
  function apiOptions() {
    const chat = session?.chatkit;
    if (chat?.provider !== "self_hosted") {
      return {
        api: {
          async getClientSecret(current) {
            return reportingGetClientSecret(current);
          },
        },
      };
    }
    const onStop = () => void (session && stopResponse(options, session.id).catch(report));
    const chatFetch = createChatFetch({ getClientSecret: reportingGetClientSecret, onStop });
    const api = { url: chat.apiUrl, domainKey: chat.domainKey, fetch: chatFetch };
    return { api, startScreen: chat.startScreen };
  }
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

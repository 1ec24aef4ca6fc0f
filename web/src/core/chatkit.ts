// Connects `<openai-chatkit>` with a session and its recorder.

import type { EventRecorder } from "./recorder.js";
import type { ChatOptions, ChatSession } from "./session.js";

/** A function of the page that the agent calls (a client tool). */
export type PageTool = (
  params: Record<string, unknown>,
) => Record<string, unknown> | Promise<Record<string, unknown>>;

/** The parts of ChatKit's element that are used. */
export interface ChatElement {
  setOptions(options: never): void;
  setThreadId(threadId: string | null): Promise<void>;
}

export interface ChatKitConnection {
  session: ChatSession;
  recorder: EventRecorder;
  /** The tools of the page, by their names. */
  tools?: ReadonlyMap<string, PageTool>;
  /** The id of the current thread. */
  threadId?: () => string | null;
}

interface Action {
  type: string;
  payload?: Record<string, unknown>;
}

/** Handlers of ChatKit's options that record what they handle. */
export interface ChatHandlers {
  widgets: { onAction: (action: Action, item: { id: string }) => Promise<void> };
  onClientTool: (call: {
    name: string;
    params: Record<string, unknown>;
  }) => Promise<Record<string, unknown>>;
}

/** Returns all options of ChatKit for the session's provider. */
export async function chatkitOptions(
  connection: ChatKitConnection,
): Promise<ChatOptions & ChatHandlers> {
  const options = await connection.session.connect();
  return { ...options, ...chatkitHandlers(connection) };
}

/**
 * Gives ChatKit the options of the session's provider: now, and when a handover changes the provider.
 * Returns a function that ends it.
 */
export async function connectChatKit(
  element: ChatElement,
  connection: ChatKitConnection,
): Promise<() => void> {
  const { session } = connection;
  const handlers = chatkitHandlers(connection);
  const set = (options: ChatOptions) => element.setOptions({ ...options, ...handlers } as never);
  const change = () => {
    set(session.chatOptions);
    // The new provider does not have the thread.
    void element.setThreadId(null);
  };
  set(await session.connect());
  session.addEventListener("provider-change", change);
  return () => session.removeEventListener("provider-change", change);
}

/** Returns handlers that record actions of widgets and calls of tools. */
export function chatkitHandlers({ recorder, tools, threadId }: ChatKitConnection): ChatHandlers {
  const current = () => threadId?.() ?? null;
  return {
    widgets: {
      // The event reaches the agent, which handles the action.
      async onAction({ type, payload }, { id }) {
        recorder.record("button_click", {
          action: type,
          widgetId: id,
          data: payload,
          threadId: current(),
        });
        await recorder.flush();
      },
    },
    async onClientTool({ name, params }) {
      const call = { name, callId: crypto.randomUUID(), threadId: current() };
      recorder.record("tool_call", { ...call, arguments: params });
      try {
        const tool = tools?.get(name);
        if (!tool) throw new Error(`The page does not have the tool ${name}.`);
        return await tool(params);
      } catch (error) {
        recorder.record("tool_failed", { ...call, message: messageOf(error) });
        throw error;
      }
    },
  };
}

/** Records the events of ChatKit's element. Returns a function that stops it. */
export function recordChatKit(
  element: EventTarget,
  { session, recorder }: Pick<ChatKitConnection, "session" | "recorder">,
): { threadId: () => string | null; stop: () => void } {
  const listeners = new AbortController();
  const { signal } = listeners;
  let threadId: string | null = null;
  const listen = (name: string, handle: (detail: Record<string, unknown>) => void) => {
    const handler = (event: Event) =>
      handle((event as CustomEvent<Record<string, unknown> | null>).detail ?? {});
    element.addEventListener(`chatkit.${name}`, handler, { signal });
  };

  listen("thread.change", (detail) => {
    threadId = typeof detail["threadId"] === "string" ? detail["threadId"] : null;
    // The API knows the threads of a self-hosted agent.
    if (session.session?.chatkit?.provider === "self_hosted") return;
    recorder.record("thread_changed", { threadId });
  });
  listen("error", ({ error }) => {
    const name = error instanceof Error ? error.name : undefined;
    recorder.record("error", { message: messageOf(error), name, threadId });
  });
  return { threadId: () => threadId, stop: () => listeners.abort() };
}

/** The text of an error, within the length of a message in an event. */
function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.slice(0, 2000) || "Unknown error";
}

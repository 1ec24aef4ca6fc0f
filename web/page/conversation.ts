// A conversation in the self-hosted chat: its session, its thread, and the message that is sent.

import type { ApiClient } from "../src/core/client.js";
import type { OpenedSession, SessionDetails } from "../src/core/model.js";
import { ProblemError } from "../src/core/problem.js";
import { ChatSession, type SelfHostedApi } from "../src/core/session.js";
import { Store } from "../src/core/store.js";
import {
  actionsOf,
  applyEvent,
  readEvents,
  type CardAction,
  type ChatEvent,
  type ChatItem,
} from "./thread.js";

/** What the conversation does now. */
export type Activity = "idle" | "loading" | "sending" | "writing" | "offline" | "reconnecting";

export interface ConversationState {
  session: OpenedSession | undefined;
  items: readonly ChatItem[];
  activity: Activity;
  /** A message that the chat has not confirmed. */
  unsent: string | undefined;
  /** The action of a card that is being sent. */
  acting: { itemId: string; type: string } | undefined;
  error: unknown;
}

interface ChatRequest {
  type: string;
  params: Record<string, unknown>;
}

/** The action of a card by which the model goes on. */
const CONTINUE = "call.continue";

/** Times in which a broken answer is taken up again: longer than the lease of a killed process. */
const PAUSES = [500, 1000, 2000, 3000, 4000, 5000, 5000, 5000, 5000, 5000];

export class Conversation extends Store<ConversationState> {
  readonly #chat: ChatSession;
  readonly #client: ApiClient;
  #api: SelfHostedApi | undefined;
  #threadId: string | undefined;
  #abort = new AbortController();
  /** The cards whose offer to continue was taken. */
  readonly #continued = new Set<string>();
  #loading: Promise<void> | undefined;

  constructor(client: ApiClient, agentId: string, sessionId?: string) {
    super({
      session: undefined,
      items: [],
      activity: sessionId ? "loading" : "idle",
      unsent: undefined,
      acting: undefined,
      error: undefined,
    });
    this.#client = client;
    this.#chat = new ChatSession({
      client,
      agentId,
      ...(sessionId && { sessionId }),
      onSession: (session) => this.update({ session }),
    });
    // The chat of the new provider is not the one that is shown.
    this.#chat.addEventListener("provider-change", () => (this.#api = undefined));
    if (sessionId) void this.#resume(sessionId);
  }

  close(): void {
    this.#abort.abort();
    this.#chat.close();
  }

  /** Whether the chat of the session's agent runs here. */
  get isSelfHosted(): boolean {
    const provider = this.state.session?.chatkit?.provider;
    return provider === undefined || provider === "self_hosted";
  }

  /** Changes over to the agent of a session that was handed over. */
  async observe(session: SessionDetails): Promise<void> {
    if (!this.state.session) return;
    try {
      await this.#chat.observe(session);
      if (!this.isSelfHosted || this.#api) return;
      await this.#connect();
      await this.reload();
    } catch (error) {
      this.update({ error });
    }
  }

  /** Sends a message and shows the answer while it is written. */
  async send(text: string): Promise<void> {
    if (!["idle", "loading"].includes(this.state.activity)) return;
    this.#abort = new AbortController();
    this.update({ activity: "sending", unsent: text, error: undefined });
    const input = {
      content: [{ type: "input_text", text }],
      attachments: [],
      inference_options: {},
    };
    await this.#ask(() =>
      this.#threadId
        ? { type: "threads.add_user_message", params: { thread_id: this.#threadId, input } }
        : { type: "threads.create", params: { input } },
    );
  }

  /** Stops the answer that is being written. */
  stop(): void {
    this.#abort.abort();
  }

  /** Reads the thread again, because another device or an approver may have changed it. */
  reload(): Promise<void> {
    if (!this.#threadId || !this.#api || !["idle", "loading"].includes(this.state.activity)) {
      return Promise.resolve();
    }
    this.#loading ??= this.#load(this.#threadId).finally(() => (this.#loading = undefined));
    return this.#loading;
  }

  /** Asks the model, and shows the answer while it is written. */
  async #ask(request: () => ChatRequest): Promise<void> {
    try {
      await this.#connect();
      await this.#stream(request());
      this.update({ activity: "idle", unsent: undefined });
    } catch (error) {
      const isStopped = this.#abort.signal.aborted;
      this.update({ activity: "idle", unsent: undefined, error: isStopped ? undefined : error });
    }
    await this.reload();
  }

  /** Performs the action of a card, and shows the card as it is then. */
  async act(item: ChatItem, action: CardAction): Promise<void> {
    const { activity, acting } = this.state;
    const threadId = this.#threadId;
    const isStreamed = action.streaming !== false;
    if (!threadId || acting || (isStreamed && activity !== "idle")) return;
    const { type, payload } = action;
    const params = { thread_id: threadId, item_id: item.id, action: { type, payload } };
    if (type === CONTINUE) this.#continued.add(item.id);
    this.update({ acting: { itemId: item.id, type }, error: undefined });
    if (isStreamed) {
      this.#abort = new AbortController();
      this.update({ activity: "sending" });
      await this.#ask(() => ({ type: "threads.custom_action", params }));
    } else {
      await this.#decide({ type: "threads.sync_custom_action", params });
    }
    this.update({ acting: undefined });
  }

  /** A decision has no stream, so it is also possible while an answer is written. */
  async #decide(request: ChatRequest): Promise<void> {
    try {
      const response = await this.#post(request);
      if (!response.ok) throw await problemOf(response);
      const { updated_item: item } = (await response.json()) as { updated_item?: ChatItem };
      if (item) this.#apply({ type: "thread.item.replaced", item });
    } catch (error) {
      this.update({ error });
    }
  }

  #apply(event: ChatEvent): void {
    this.update({ items: applyEvent(this.state.items, event) });
  }

  /**
   * Lets the model go on after a held call has ended: its card offers that. The offer is taken once,
   * also by several devices, and every one of them shows the same answer.
   */
  async #goOn(): Promise<void> {
    for (const item of this.state.items) {
      const action = actionsOf(item).find(({ type }) => type === CONTINUE);
      if (action && !this.#continued.has(item.id)) return this.act(item, action);
    }
  }

  async #resume(sessionId: string): Promise<void> {
    try {
      const details = await this.#client.getSession(sessionId, { include: "threads" });
      const chat = details.changed ? details.data.chatkit : undefined;
      this.#threadId = chat?.available ? chat.threads[0]?.id : undefined;
      await this.#connect();
      await this.reload();
    } catch (error) {
      this.update({ error });
    }
    if (this.state.activity === "loading") this.update({ activity: "idle" });
  }

  async #connect(): Promise<void> {
    if (this.#api) return;
    const { api } = await this.#chat.connect();
    if ("fetch" in api) this.#api = api;
  }

  async #load(threadId: string): Promise<void> {
    const params = { thread_id: threadId, order: "desc", limit: 100 };
    const data = await this.#list(params).catch(() => undefined);
    if (!data || !["idle", "loading"].includes(this.state.activity)) return;
    this.update({ items: data.reverse(), activity: "idle" });
    void this.#goOn();
  }

  async #list(params: Record<string, unknown>): Promise<ChatItem[] | undefined> {
    const response = await this.#post({ type: "items.list", params });
    if (!response.ok) return undefined;
    return ((await response.json()) as { data: ChatItem[] }).data;
  }

  #post(request: ChatRequest, signal?: AbortSignal): Promise<Response> {
    if (!this.#api) throw new Error("The chat of this agent does not run here.");
    return this.#api.fetch(this.#api.url, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ ...request, metadata: {} }),
      ...(signal && { signal }),
    });
  }

  /**
   * Sends a request and applies its events. Like ChatKit.js, it repeats the same request if the
   * stream breaks off, and the chat continues the same answer.
   */
  async #stream(request: ChatRequest): Promise<void> {
    const { signal } = this.#abort;
    for (const pause of [...PAUSES, undefined]) {
      try {
        return await this.#attempt(request, signal);
      } catch (error) {
        if (signal.aborted || pause === undefined || !isRepeatable(error)) throw error;
        await this.#wait(pause, signal);
      }
    }
  }

  async #attempt(request: ChatRequest, signal: AbortSignal): Promise<void> {
    const response = await this.#post(request, signal);
    if (!response.ok) throw await problemOf(response);
    for await (const event of readEvents(response)) {
      if (event.type === "error") throw new Error(event.message ?? "The answer broke off.");
      if (event.thread) this.#threadId = event.thread.id;
      const unsent = event.item?.type === "user_message" ? undefined : this.state.unsent;
      this.update({ items: applyEvent(this.state.items, event), activity: "writing", unsent });
    }
  }

  async #wait(milliseconds: number, signal: AbortSignal): Promise<void> {
    const isOffline = !navigator.onLine;
    this.update({ activity: isOffline ? "offline" : "reconnecting" });
    await new Promise<void>((resolve) => {
      // Without a network, only its return ends the pause.
      const timer = isOffline ? undefined : setTimeout(resolve, milliseconds);
      const end = () => {
        clearTimeout(timer);
        resolve();
      };
      signal.addEventListener("abort", end, { once: true });
      window.addEventListener("online", end, { once: true });
    });
  }
}

async function problemOf(response: Response): Promise<ProblemError> {
  const problem = (await response.json().catch(() => ({}))) as object;
  return new ProblemError(response.status, problem);
}

function isRepeatable(error: unknown): boolean {
  // The browser reports a lost connection as a `TypeError`.
  return error instanceof TypeError || (error instanceof ProblemError && error.isTemporary);
}

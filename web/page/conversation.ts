// A conversation in the self-hosted chat: its session, its thread, and the message that is sent.

import type { ApiClient } from "../src/core/client.js";
import type { OpenedSession } from "../src/core/model.js";
import { ProblemError } from "../src/core/problem.js";
import { ChatSession, type SelfHostedApi } from "../src/core/session.js";
import { Store } from "../src/core/store.js";
import { applyEvent, readEvents, type ChatItem } from "./thread.js";

/** What the conversation does now. */
export type Activity = "idle" | "loading" | "sending" | "writing" | "offline" | "reconnecting";

export interface ConversationState {
  session: OpenedSession | undefined;
  items: readonly ChatItem[];
  activity: Activity;
  /** A message that the chat has not confirmed. */
  unsent: string | undefined;
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
  readonly #taken = new Set<string>();
  #loading: Promise<void> | undefined;

  constructor(client: ApiClient, agentId: string, sessionId?: string) {
    super({
      session: undefined,
      items: [],
      activity: sessionId ? "loading" : "idle",
      unsent: undefined,
      error: undefined,
    });
    this.#client = client;
    this.#chat = new ChatSession({
      client,
      agentId,
      ...(sessionId && { sessionId }),
      onSession: (session) => this.update({ session }),
    });
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

  /**
   * Lets the model go on after a held call has ended: its card offers that. The offer is taken once,
   * also by several devices, and every one of them shows the same answer.
   */
  async #goOn(threadId: string): Promise<void> {
    const card = this.state.items.find(
      (item) => offersToContinue(item) && !this.#taken.has(item.id),
    );
    if (!card || this.state.activity !== "idle") return;
    this.#taken.add(card.id);
    this.#abort = new AbortController();
    this.update({ activity: "sending", error: undefined });
    const params = { thread_id: threadId, item_id: card.id, action: { type: CONTINUE } };
    await this.#ask(() => ({ type: "threads.custom_action", params }));
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
    const response = await this.#post({ type: "items.list", params }).catch(() => undefined);
    if (!response?.ok || !["idle", "loading"].includes(this.state.activity)) return;
    const { data } = (await response.json()) as { data: ChatItem[] };
    this.update({ items: data.reverse(), activity: "idle" });
    void this.#goOn(threadId);
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
    if (!response.ok) {
      const problem = (await response.json().catch(() => ({}))) as object;
      throw new ProblemError(response.status, problem);
    }
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

/** Whether the card of a held call offers to continue, because the call has ended. */
function offersToContinue({ widget }: ChatItem): boolean {
  return JSON.stringify(widget ?? null).includes(`"type":"${CONTINUE}"`);
}

function isRepeatable(error: unknown): boolean {
  // The browser reports a lost connection as a `TypeError`.
  return error instanceof TypeError || (error instanceof ProblemError && error.isTemporary);
}

// A session of the user with an agent, and the client secrets with which ChatKit.js connects to it.

import { createChatFetch } from "./chat-fetch.js";
import type { ApiClient } from "./client.js";
import type { OpenedSession, Session } from "./model.js";
import { ProblemError } from "./problem.js";

export interface ChatSessionOptions {
  client: ApiClient;
  /** The agent to open a session with. */
  agentId: string;
  /** A session to resume, on another device or after a reload. */
  sessionId?: string;
  /** The metadata of a new session. */
  metadata?: Record<string, unknown>;
  /** Called with the session whenever a secret arrives. Its id can be resumed later. */
  onSession?: (session: OpenedSession) => void;
  /** Called with each failure, which ChatKit.js does not show. */
  onError?: (error: unknown) => void;
}

/** `api` of ChatKit's options for an agent whose chat runs at OpenAI. */
export interface HostedApi {
  getClientSecret: (current: string | null) => Promise<string>;
}

/** `api` of ChatKit's options for a self-hosted agent. */
export interface SelfHostedApi {
  url: string;
  domainKey: string;
  fetch: typeof fetch;
}

/** ChatKit's own options that the session provides. */
export interface ChatOptions {
  api: HostedApi | SelfHostedApi;
  startScreen?: StartScreen;
}

/** The agent's start screen. ChatKit ignores icons that it does not know. */
export interface StartScreen {
  greeting?: string;
  // The API does not describe the names of ChatKit's icons.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  prompts?: { label: string; prompt: string; icon?: any }[];
}

/** Problems after which a session cannot be continued. */
const ENDED = ["session_ended", "session_not_found", "provider_changed"];

/** The time in which another tab's new secret arrives after its request. */
const ARRIVAL_MS = 250;

/**
 * Dispatches `provider-change` when the session has moved to an agent with the other provider. Its
 * `chatOptions` are then those of the new provider.
 */
export class ChatSession extends EventTarget {
  readonly #options: ChatSessionOptions;
  #sessionId: string | undefined;
  // The key of one session, which retries do not open a second time.
  #key = crypto.randomUUID();
  #session: OpenedSession | undefined;
  #pending: Promise<string> | undefined;
  readonly #tabs: BroadcastChannel | undefined;
  #arrived = () => {};

  constructor(options: ChatSessionOptions) {
    super();
    this.#options = options;
    this.#sessionId = options.sessionId;
    if (typeof BroadcastChannel === "undefined") return;
    this.#tabs = new BroadcastChannel("chatkit-sessions");
    this.#tabs.onmessage = ({ data }: MessageEvent<OpenedSession>) => {
      if (data.id !== this.#sessionId) return;
      this.#accept(data);
      this.#arrived();
    };
  }

  /** The id of the session, once it is known. */
  get id(): string | undefined {
    return this.#sessionId;
  }

  /** The session as the API returned it last. */
  get session(): OpenedSession | undefined {
    return this.#session;
  }

  /** Opens or resumes the session, and returns ChatKit's options for its provider. */
  async connect(): Promise<ChatOptions> {
    await this.getClientSecret(null);
    return this.chatOptions;
  }

  /** ChatKit's options for the provider of the session as the API returned it last. */
  get chatOptions(): ChatOptions {
    const chat = this.#session?.chatkit;
    const getClientSecret = (current: string | null) => this.getClientSecret(current);
    if (chat?.provider !== "self_hosted") return { api: { getClientSecret } };
    const api = {
      url: String(chat.apiUrl),
      domainKey: String(chat.domainKey),
      fetch: createChatFetch({ getClientSecret, onStop: () => this.stop() }),
    };
    return chat.startScreen ? { api, startScreen: chat.startScreen } : { api };
  }

  /** Requests a secret of the new agent if the session, as a store has read it, was handed over. */
  async observe({ id, agentId }: Pick<Session, "id" | "agentId">): Promise<void> {
    const { agentId: known = agentId } = this.#session ?? {};
    if (id === this.#sessionId && agentId !== known) await this.getClientSecret(null);
  }

  /** `getClientSecret` of ChatKit's options. Simultaneous calls, of all tabs, share one request. */
  readonly getClientSecret = (current: string | null): Promise<string> => {
    this.#pending ??= this.#obtain(current)
      .catch((error: unknown) => {
        this.#options.onError?.(error);
        throw error;
      })
      .finally(() => (this.#pending = undefined));
    return this.#pending;
  };

  /** Stops the answers that a self-hosted agent is writing. */
  stop(): void {
    if (!this.#sessionId) return;
    const stopping = this.#options.client.stopResponse(this.#sessionId, { keepalive: true });
    stopping.catch((error: unknown) => this.#options.onError?.(error));
  }

  /** Ends the listening to other tabs. */
  close(): void {
    this.#tabs?.close();
  }

  async #obtain(current: string | null): Promise<string> {
    try {
      return await (this.#sessionId ? this.#renew(this.#sessionId, current) : this.#open());
    } catch (error) {
      const { code = "" } = error instanceof ProblemError ? error : {};
      if (!ENDED.includes(code)) throw error;
      // An ended session cannot be continued, and its key cannot open another one.
      this.#sessionId = undefined;
      this.#key = crypto.randomUUID();
      return this.#open();
    }
  }

  #open(): Promise<string> {
    const { agentId, metadata } = this.#options;
    return this.#request(metadata ? { agentId, metadata } : { agentId }, this.#key);
  }

  async #renew(sessionId: string, current: string | null): Promise<string> {
    if (!current) return this.#request({ sessionId, purpose: "resume" });
    return this.#once(sessionId, current, async () => {
      const secret = await this.#request({ sessionId, purpose: "refresh" });
      if (secret !== current) return secret;
      // ChatKit.js requests a secret because the current one does not work. The API issues that one
      // until it expires, unless the request reports its rejection.
      return this.#request({ sessionId, purpose: "refresh", rejected: true });
    });
  }

  /** Calls `request` in one tab. The other tabs get its secret. */
  async #once(sessionId: string, current: string, request: () => Promise<string>): Promise<string> {
    const locks = typeof navigator === "undefined" ? undefined : navigator.locks;
    if (!locks || !this.#tabs) return request();
    const name = `chatkit-sessions/${sessionId}`;
    const alone = await locks.request(name, { ifAvailable: true }, (lock) =>
      lock ? request() : undefined,
    );
    if (alone !== undefined) return alone;
    return locks.request(name, async () => (await this.#arrival(current)) ?? request());
  }

  /** The secret that another tab has received, if it differs from `current`. */
  async #arrival(current: string): Promise<string | undefined> {
    const secret = () => this.#session?.chatkit?.clientSecret;
    if (secret() === current || !secret()) {
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
        setTimeout(resolve, ARRIVAL_MS);
      });
    }
    return secret() === current ? undefined : secret();
  }

  async #request(body: Parameters<ApiClient["openSession"]>[0], key?: string): Promise<string> {
    const { client } = this.#options;
    const session = await client.openSession(body, key ? { idempotencyKey: key } : {});
    if (!session.chatkit) {
      throw new ProblemError(503, { title: "ChatKit is not configured" });
    }
    this.#accept(session);
    this.#tabs?.postMessage(session);
    return session.chatkit.clientSecret;
  }

  #accept(session: OpenedSession): void {
    const provider = this.#session?.chatkit?.provider;
    this.#sessionId = session.id;
    this.#session = session;
    this.#options.onSession?.(session);
    if (provider && provider !== session.chatkit?.provider) {
      this.dispatchEvent(new Event("provider-change"));
    }
  }
}

// State that is read from the API again and again. `change` is dispatched after each change.

import type { ApiClient, Conditional, ReadOptions } from "./client.js";
import type {
  Agent,
  Change,
  Message,
  Metrics,
  Query,
  Session,
  SessionDetails,
  SessionEvent,
} from "./model.js";
import { Poller, type FeedOptions, type PollerOptions } from "./poller.js";

export interface Snapshot<T> {
  /** The latest data. It is kept when a request fails. */
  data: T | undefined;
  isLoading: boolean;
  /** The latest failure. A success removes it. */
  error: unknown;
  /** Time of the latest response, in milliseconds. */
  updatedAt: number | undefined;
}

/** An `EventTarget` that dispatches `change`. */
export class Store<T extends object> extends EventTarget {
  #state: T;

  constructor(initial: T) {
    super();
    this.#state = initial;
  }

  get state(): Readonly<T> {
    return this.#state;
  }

  protected update(change: Partial<T>): void {
    this.#state = { ...this.#state, ...change };
    this.dispatchEvent(new Event("change"));
  }

  /** Calls `listener` now and after each change. Returns a function that ends it. */
  subscribe(listener: (state: Readonly<T>) => void): () => void {
    const handle = () => listener(this.state);
    this.addEventListener("change", handle);
    handle();
    return () => this.removeEventListener("change", handle);
  }
}

export type Load<T> = (options: ReadOptions) => Promise<Conditional<T>>;

/** Polls one resource. An unchanged resource costs a response without a body. */
export class ResourceStore<T> extends Store<Snapshot<T>> {
  readonly #load: Load<T>;
  readonly #poller: Poller;
  #etag: string | null = null;

  /** `concerns` selects the changes of `options.feed` after which the resource is read. */
  constructor(load: Load<T>, options: FeedOptions = {}, concerns?: (change: Change) => boolean) {
    super({ data: undefined, isLoading: false, error: undefined, updatedAt: undefined });
    this.#load = load;
    this.#poller = new Poller((signal) => this.#poll(signal), options, concerns);
  }

  start(): this {
    this.#poller.start();
    return this;
  }

  stop(): void {
    this.#poller.stop();
  }

  /** Reads the resource now, for example after an own action. */
  refresh(): Promise<void> {
    return this.#poller.refresh();
  }

  async #poll(signal: AbortSignal): Promise<void> {
    this.update({ isLoading: true });
    try {
      const result = await this.#load({ signal, attempts: 1, etag: this.#etag });
      const change = result.changed ? { data: result.data } : {};
      if (result.changed) this.#etag = result.etag;
      this.update({ ...change, isLoading: false, error: undefined, updatedAt: Date.now() });
    } catch (error) {
      if (signal.aborted) return this.update({ isLoading: false });
      this.update({ isLoading: false, error });
      throw error;
    }
  }
}

const isOf =
  (id: string) =>
  ({ sessionId }: Change) =>
    sessionId === id;

/** A session with its tasks, latest events and open escalations. */
export function sessionStore(client: ApiClient, id: string, options?: FeedOptions) {
  return new ResourceStore<SessionDetails>(
    (read) => client.getSession(id, read),
    options,
    isOf(id),
  );
}

/** The caller's sessions, most recently active first. */
export function sessionListStore(
  client: ApiClient,
  query: Query<"list-sessions"> = {},
  options: FeedOptions = { interval: 30_000 },
) {
  const load: Load<Session[]> = async (read) => {
    const page = await client.listSessions(query, read);
    return page.changed ? { ...page, data: page.data.sessions } : page;
  };
  return new ResourceStore(load, options, ({ kind }) => kind === "session");
}

/** The agents that the caller may use. */
export function agentStore(client: ApiClient, options: PollerOptions = { interval: 300_000 }) {
  return new ResourceStore<Agent[]>(async (read) => {
    const page = await client.listAgents(read);
    return page.changed ? { ...page, data: page.data.agents } : page;
  }, options);
}

/** The figures of the organisation. */
export function metricsStore(
  client: ApiClient,
  query: Query<"get-metrics"> = {},
  options: PollerOptions = { interval: 60_000 },
) {
  return new ResourceStore<Metrics>((read) => client.getMetrics(query, read), options);
}

/** The messages of a session, oldest first. Each poll reads the messages after the latest one. */
export function transcriptStore(client: ApiClient, id: string, options?: FeedOptions) {
  const load = async (cursor: string | null, read: ReadOptions): Promise<GrowingPage<Message>> => {
    const page = await client.listMessages(id, { limit: 100, ...(cursor && { cursor }) }, read);
    if (!page.changed) return { items: [], cursor: null };
    return { items: page.data.messages, cursor: page.data.nextCursor };
  };
  return followList(load, options, isOf(id));
}

/** A page of a list that grows at its end. */
export interface GrowingPage<T> {
  items: T[];
  cursor: string | null;
}

/** Follows a list that grows at its end. It reads from the last full page on. */
export function followList<T extends { id: string }>(
  load: (cursor: string | null, read: ReadOptions) => Promise<GrowingPage<T>>,
  options?: FeedOptions,
  concerns?: (change: Change) => boolean,
) {
  let start: string | null = null;
  const known = new Map<string, T>();
  const loadAll: Load<T[]> = async (options) => {
    const read = { ...options, etag: null };
    const before = JSON.stringify([...known]);
    for (;;) {
      const page: GrowingPage<T> = await load(start, read);
      for (const item of page.items) known.set(item.id, item);
      if (!page.cursor) break;
      start = page.cursor;
    }
    if (known.size > 0 && JSON.stringify([...known]) === before) return { changed: false };
    return { changed: true, data: [...known.values()], etag: null };
  };
  return new ResourceStore(loadAll, options, concerns);
}

/** Sessions' events by their numbers, without duplicates. */
export function mergeEvents(...lists: readonly SessionEvent[][]): SessionEvent[] {
  const byId = new Map(lists.flat().map((event) => [event.id, event]));
  return [...byId.values()].sort((a, b) => a.seq - b.seq);
}

// The change feed of the API. One poll wakes all stores of a page, and those of other tabs.

import type { ApiClient, Conditional } from "./client.js";
import type { Changes, Query } from "./model.js";
import { Poller, type ChangeSource, type PollerOptions, type Wake } from "./poller.js";
import { ProblemError } from "./problem.js";

export interface ChangeFeedOptions extends PollerOptions {
  client: ApiClient;
  /** `organisation`: also sessions of others, for approvers. Default: `own`. */
  scope?: NonNullable<Query<"list-changes">["scope"]>;
  /**
   * Tabs with the same name share one poll. The name must state the user and the organisation.
   * Default: tabs poll for themselves.
   */
  tabs?: string;
}

type Page = Pick<Changes, "changes" | "incomplete" | "cursor">;

/** Reports what changed. It polls while something follows it. */
export class ChangeFeed implements ChangeSource {
  readonly #client: ApiClient;
  readonly #scope: "own" | "organisation";
  readonly #poller: Poller;
  readonly #channel: string | undefined;
  readonly #wakes = new Set<Wake>();
  #tabs: BroadcastChannel | undefined;
  #listeners = new AbortController();
  #cursor: string | undefined;
  #etag: string | null = null;
  #isNew = true;

  constructor({ client, scope = "own", tabs, ...polling }: ChangeFeedOptions) {
    this.#client = client;
    this.#scope = scope;
    this.#channel = tabs === undefined ? tabs : `chatkit-sessions/changes/${scope}/${tabs}`;
    this.#poller = new Poller((signal) => this.#poll(signal), polling);
  }

  follow(wake: Wake): () => void {
    const own: Wake = (changes) => wake(changes);
    this.#wakes.add(own);
    if (this.#wakes.size === 1) this.#start();
    return () => {
      if (this.#wakes.delete(own) && this.#wakes.size === 0) this.#stop();
    };
  }

  #start(): void {
    this.#isNew = true;
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    const onShow = ({ persisted }: PageTransitionEvent) => {
      // Messages of other tabs do not reach a page in the browser's cache.
      if (persisted) this.#cursor = undefined;
    };
    window.addEventListener("pageshow", onShow, { signal });
    if (this.#channel !== undefined) {
      this.#tabs = new BroadcastChannel(this.#channel);
      this.#tabs.onmessage = ({ data }: MessageEvent<Page>) => {
        this.#accept(data);
        this.#poller.postpone();
      };
    }
    this.#poller.start();
  }

  #stop(): void {
    this.#poller.stop();
    this.#listeners.abort();
    this.#tabs?.close();
  }

  async #poll(signal: AbortSignal): Promise<void> {
    // Stores read when they start. Until the next poll, another tab may send its cursor.
    if (this.#isNew) {
      this.#isNew = false;
      return;
    }
    try {
      const page = await this.#read(signal);
      const cursor = this.#cursor ?? "";
      const news = page.changed ? page.data : { changes: [], incomplete: false, cursor };
      if (page.changed) this.#etag = page.etag;
      // Every tab gets the changes that precede this cursor, so each may continue from it.
      this.#tabs?.postMessage(news);
      this.#accept(news);
    } catch (error) {
      // Without the feed, the stores read for themselves.
      if (!signal.aborted) this.#wake();
      throw error;
    }
  }

  async #read(signal: AbortSignal): Promise<Conditional<Page>> {
    const since = this.#cursor;
    const query = { scope: this.#scope, ...(since !== undefined && { since }) };
    const options = { signal, attempts: 1, etag: this.#etag };
    try {
      return await this.#client.listChanges(query, options);
    } catch (error) {
      const isLost = error instanceof ProblemError && error.code === "malformed_cursor";
      if (!isLost || since === undefined) throw error;
      // The response without a cursor is incomplete, so all stores read.
      this.#cursor = undefined;
      return this.#read(signal);
    }
  }

  #accept({ changes, incomplete, cursor }: Page): void {
    this.#cursor = cursor;
    if (incomplete) this.#wake();
    else if (changes.length > 0) this.#wake(changes);
  }

  #wake(changes?: Page["changes"]): void {
    for (const wake of [...this.#wakes]) wake(changes);
  }
}

// Calls a function periodically: less often after failures, and not while the page is hidden.

import type { Change } from "./model.js";
import { ProblemError } from "./problem.js";

/** Called with changes, or without them if some may be missing. */
export type Wake = (changes?: readonly Change[]) => void;

/** What reports changes, for example a `ChangeFeed`. */
export interface ChangeSource {
  /** Calls `wake` after changes. Returns a function that ends it. */
  follow(wake: Wake): () => void;
}

export interface PollerOptions {
  /** Milliseconds between two polls of a visible page. Default: ten seconds. */
  interval?: number;
  /** Milliseconds between two polls of a hidden page. Default: none, polling pauses. */
  hiddenInterval?: number;
}

export interface FeedOptions extends PollerOptions {
  /** Wakes the poller after changes. It then polls by itself every five minutes only. */
  feed?: ChangeSource;
}

/** The longest time between two polls: after failures, and of a poller that a feed wakes. */
const LONGEST_INTERVAL_MS = 300_000;

export class Poller {
  readonly #poll: (signal: AbortSignal) => Promise<unknown>;
  readonly #interval: number;
  readonly #hiddenInterval: number | undefined;
  readonly #feed: ChangeSource | undefined;
  readonly #concerns: (change: Change) => boolean;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  /** Whether a change was reported that no poll has read. */
  #isDue = false;
  /** Whether the latest poll expects a change that the feed does not report. */
  #isUnfinished = false;
  #failures = 0;
  #isStarted = false;
  #listeners = new AbortController();
  #notBefore = 0;

  /**
   * `poll` returns `true` if it expects a change that the feed does not report. `concerns` selects
   * the changes of the feed that matter.
   */
  constructor(
    poll: (signal: AbortSignal) => Promise<unknown>,
    { interval = 10_000, hiddenInterval, feed }: FeedOptions = {},
    concerns: (change: Change) => boolean = () => true,
  ) {
    this.#poll = poll;
    this.#interval = interval;
    this.#hiddenInterval = hiddenInterval;
    this.#feed = feed;
    this.#concerns = concerns;
  }

  start(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    const awake = () => {
      if (!document.hidden && (!this.#feed || this.#isDue)) void this.refresh();
    };
    document.addEventListener("visibilitychange", awake, { signal });
    window.addEventListener("focus", awake, { signal });
    window.addEventListener("online", awake, { signal });
    const end = this.#feed?.follow((changes) => {
      if (changes && !changes.some(this.#concerns)) return;
      this.#isDue = true;
      if (!document.hidden || this.#hiddenInterval !== undefined) void this.refresh();
    });
    if (end) signal.addEventListener("abort", end);
    void this.refresh();
  }

  stop(): void {
    this.#isStarted = false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#listeners.abort();
  }

  /** Polls now. While the API has asked for a pause, waits for its end. */
  refresh(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#notBefore > Date.now()) {
      this.#schedule(this.#notBefore - Date.now());
      return Promise.resolve();
    }
    if (this.#running) {
      // What changed since the running request began may be missing in its response.
      this.#again = true;
      return this.#running;
    }
    this.#running = this.#run().finally(() => (this.#running = undefined));
    return this.#running;
  }

  /** Waits for more than an interval: another tab has polled, and polls next. */
  postpone(): void {
    this.#failures = 0;
    if (!this.#running) this.#schedule(this.#interval * (1.25 + Math.random() / 4));
  }

  async #run(): Promise<void> {
    do {
      this.#again = false;
      this.#isDue = false;
      let pause = 0;
      try {
        this.#isUnfinished = (await this.#poll(this.#listeners.signal)) === true;
        this.#failures = 0;
      } catch (error) {
        this.#isDue = true;
        this.#failures += 1;
        if (error instanceof ProblemError) pause = 1000 * (error.retryAfter ?? 0);
      }
      this.#notBefore = pause > 0 ? Date.now() + pause : 0;
      this.#schedule(pause);
      if (pause > 0) return;
    } while (this.#again);
  }

  #schedule(atLeast: number): void {
    clearTimeout(this.#timer);
    const isWoken = this.#feed && this.#failures === 0 && !this.#isUnfinished;
    const interval = isWoken ? LONGEST_INTERVAL_MS : this.#interval;
    const regular = document.hidden ? this.#hiddenInterval : interval;
    if (!this.#isStarted || regular === undefined) return;
    const backOff = Math.min(regular * 2 ** this.#failures, LONGEST_INTERVAL_MS);
    const wait = Math.max(Math.max(backOff, regular) * (0.9 + Math.random() / 5), atLeast);
    this.#timer = setTimeout(() => void this.refresh(), wait);
  }
}

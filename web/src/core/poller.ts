// Calls a function periodically: less often after failures, and not while the page is hidden.

import { ProblemError } from "./problem.js";

export interface PollerOptions {
  /** Milliseconds between two polls of a visible page. Default: ten seconds. */
  interval?: number;
  /** Milliseconds between two polls of a hidden page. Default: none, polling pauses. */
  hiddenInterval?: number;
}

/** The longest time between two polls after failures. */
const LONGEST_INTERVAL_MS = 300_000;

export class Poller {
  readonly #poll: (signal: AbortSignal) => Promise<void>;
  readonly #interval: number;
  readonly #hiddenInterval: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #failures = 0;
  #isStarted = false;
  #listeners = new AbortController();
  #notBefore = 0;

  constructor(poll: (signal: AbortSignal) => Promise<void>, options: PollerOptions = {}) {
    this.#poll = poll;
    this.#interval = options.interval ?? 10_000;
    this.#hiddenInterval = options.hiddenInterval;
  }

  start(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    const awake = () => {
      if (!document.hidden) void this.refresh();
    };
    document.addEventListener("visibilitychange", awake, { signal });
    window.addEventListener("focus", awake, { signal });
    window.addEventListener("online", awake, { signal });
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

  async #run(): Promise<void> {
    do {
      this.#again = false;
      let pause = 0;
      try {
        await this.#poll(this.#listeners.signal);
        this.#failures = 0;
      } catch (error) {
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
    const regular = document.hidden ? this.#hiddenInterval : this.#interval;
    if (!this.#isStarted || regular === undefined) return;
    const backOff = Math.min(regular * 2 ** this.#failures, LONGEST_INTERVAL_MS);
    const wait = Math.max(Math.max(backOff, regular) * (0.9 + Math.random() / 5), atLeast);
    this.#timer = setTimeout(() => void this.refresh(), wait);
  }
}

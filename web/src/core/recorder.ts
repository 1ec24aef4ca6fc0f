// Records what happens in the page as events of its session: in order, in batches, with retries.

import type { ApiClient } from "./client.js";
import { copyJson, stringifyJson } from "./json.js";
import type { SubmittedEvent } from "./model.js";
import { ProblemError } from "./problem.js";

/** Limits of `POST /chatkit/sessions/{id}/events`. */
const LARGEST_BATCH = 100;
const LARGEST_BODY_BYTES = 256 * 1024;
const LARGEST_PAYLOAD_BYTES = 16 * 1024;

/** Browsers limit the bodies of requests that outlive their page. */
const LARGEST_KEEPALIVE_BYTES = 60 * 1024;

/** The fields of each type of event that leave the page. Tools' arguments are not among them. */
export const DEFAULT_FIELDS: Readonly<Record<string, readonly string[]>> = {
  button_click: ["action", "label", "widgetId", "threadId", "data"],
  form_submit: ["form", "values", "threadId"],
  tool_call: ["name", "callId", "threadId"],
  tool_failed: ["name", "callId", "message", "threadId"],
  thread_changed: ["threadId"],
  feedback: ["rating", "comment", "itemId", "threadId"],
  error: ["message", "name", "threadId"],
  handover: ["agentId", "fromAgentId", "reason", "summary"],
  hitl_escalation: ["reason", "decisions", "schema", "expiresInSeconds"],
};

export interface EventRecorderOptions {
  client: ApiClient;
  /** The session of the events, once it is known. Events wait for it. */
  sessionId?: string;
  /** The fields that may leave the page, by the type of event. Replaces those of `DEFAULT_FIELDS`. */
  fields?: Record<string, readonly string[]>;
  /** Milliseconds in which events are collected. Default: 500. */
  delay?: number;
  /**
   * Called with an event that is not sent again: the API rejected it, its payload is too large
   * (`EventTooLargeError`), or its payload is not JSON.
   */
  onRejected?: (event: SubmittedEvent, error: unknown) => void;
}

/** The payload of an event is larger than the API accepts. */
export class EventTooLargeError extends Error {
  override readonly name = "EventTooLargeError";

  constructor(readonly bytes: number) {
    super(`The payload has ${bytes} bytes. Shorten it to ${LARGEST_PAYLOAD_BYTES}.`);
  }
}

interface QueuedEvent {
  sessionId: string | undefined;
  event: SubmittedEvent;
}

export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #fields: Record<string, readonly string[]>;
  #sessionId: string | undefined;
  #queue: QueuedEvent[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #sending: Promise<void> | undefined;
  #failures = 0;
  /** The end of the pause that the API asked for. */
  #notBefore = 0;
  readonly #listeners = new AbortController();

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#fields = { ...DEFAULT_FIELDS, ...options.fields };
    this.#sessionId = options.sessionId;
    if (typeof window === "undefined") return;
    const { signal } = this.#listeners;
    window.addEventListener("online", () => void this.flush(), { signal });
    window.addEventListener("pagehide", () => this.#sendLast(), { signal });
  }

  /** The number of events that the API has not confirmed. */
  get pending(): number {
    return this.#queue.length;
  }

  /** Sets the session of the events that follow, and of those that wait for the first session. */
  setSession(id: string): void {
    for (const queued of this.#queue) queued.sessionId ??= id;
    this.#sessionId = id;
    this.#schedule(0);
  }

  /** Queues an event as it is now, and returns its id. */
  record(type: string, payload: Record<string, unknown> = {}): string {
    const id = crypto.randomUUID();
    const occurredAt = new Date().toISOString();
    const allowed = this.#allowed(type, payload);
    const queued = { sessionId: this.#sessionId } as QueuedEvent;
    try {
      queued.event = { id, type, occurredAt, payload: copyOf(allowed) };
    } catch (error) {
      queued.event = { id, type, occurredAt, payload: allowed };
      // The caller gets the id first.
      queueMicrotask(() => this.#reject([queued], error));
      return id;
    }
    this.#queue.push(queued);
    this.#schedule(this.#options.delay ?? 500);
    return id;
  }

  /**
   * Sends the queued events. Resolves when the API has confirmed them, does not respond, or has asked
   * for a pause that has not ended.
   */
  flush(): Promise<void> {
    if (this.#sending) return this.#sending;
    this.#unschedule();
    const pause = this.#notBefore - Date.now();
    if (pause > 0) {
      this.#schedule(pause);
      return Promise.resolve();
    }
    this.#sending = this.#sendAll().finally(() => (this.#sending = undefined));
    return this.#sending;
  }

  /** Ends the listening to the page. Queued events are sent. */
  close(): Promise<void> {
    this.#listeners.abort();
    return this.flush();
  }

  #schedule(delay: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.flush();
    }, delay);
  }

  #unschedule(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #allowed(type: string, payload: Record<string, unknown>): Record<string, unknown> {
    const fields = this.#fields[type] ?? (type.startsWith("custom_") ? Object.keys(payload) : []);
    const present = fields.filter((field) => payload[field] !== undefined);
    return Object.fromEntries(present.map((field) => [field, payload[field]]));
  }

  async #sendAll(): Promise<void> {
    for (let batch = this.#batch(); batch.length > 0; batch = this.#batch()) {
      try {
        await this.#send(batch);
      } catch (error) {
        if (!isRejection(error)) return this.#retryLater(error);
        if (batch.length > 1) {
          // The API rejects a batch as a whole, so each event is sent alone.
          if (!(await this.#sendSeparately(batch))) return;
          continue;
        }
        this.#reject(batch, error);
      }
      this.#remove(batch);
      this.#failures = 0;
    }
  }

  async #sendSeparately(batch: QueuedEvent[]): Promise<boolean> {
    for (const queued of batch) {
      try {
        await this.#send([queued]);
      } catch (error) {
        if (!isRejection(error)) {
          this.#retryLater(error);
          return false;
        }
        this.#reject([queued], error);
      }
      this.#remove([queued]);
    }
    return true;
  }

  #send(batch: QueuedEvent[], keepalive = false): Promise<unknown> {
    const sessionId = batch[0]?.sessionId ?? "";
    const events = batch.map(({ event }) => event);
    return this.#options.client.recordEvents(sessionId, events, { keepalive, attempts: 2 });
  }

  /** The next events of one session, within the limits of a request. */
  #batch(limit = LARGEST_BODY_BYTES): QueuedEvent[] {
    const first = this.#queue[0];
    if (!first?.sessionId) return [];
    const batch: QueuedEvent[] = [];
    let bytes = 2;
    for (const queued of this.#queue.slice(0, LARGEST_BATCH)) {
      bytes += bytesOf(queued.event) + 1;
      if (queued.sessionId !== first.sessionId || bytes > limit) break;
      batch.push(queued);
    }
    return batch;
  }

  #remove(batch: QueuedEvent[]): void {
    this.#queue = this.#queue.filter((queued) => !batch.includes(queued));
  }

  #reject(batch: QueuedEvent[], error: unknown): void {
    for (const { event } of batch) {
      try {
        this.#options.onRejected?.(event, error);
      } catch (failure) {
        // A failure of the page does not stop the queue.
        reportError(failure);
      }
    }
  }

  #retryLater(error: unknown): void {
    this.#failures += 1;
    const stated = error instanceof ProblemError ? (error.retryAfter ?? 0) : 0;
    const seconds = Math.max(stated, Math.min(2 ** this.#failures, 300));
    this.#notBefore = Date.now() + 1000 * stated;
    // An event that was recorded meanwhile has scheduled an earlier time.
    this.#unschedule();
    this.#schedule(1000 * seconds);
  }

  /** Sends the first events when the page is closed. Their ids make a repeat harmless. */
  #sendLast(): void {
    const batch = this.#batch(LARGEST_KEEPALIVE_BYTES);
    if (batch.length > 0) this.#send(batch, true).catch(() => {});
  }
}

/** Whether the API rejected the events themselves, so that a repeat would be rejected again. */
function isRejection(error: unknown): boolean {
  if (!(error instanceof ProblemError)) return false;
  return !error.isTemporary && error.status !== 401;
}

/** A copy of a payload, within the limit. Throws if that is not possible. */
function copyOf(payload: Record<string, unknown>): Record<string, unknown> {
  if (bytesOf(payload) <= LARGEST_PAYLOAD_BYTES) return copyJson(payload);
  // Only free JSON is that large. An event without it is better than none.
  const { data: _data, arguments: _arguments, ...rest } = payload;
  const bytes = bytesOf(rest);
  if (bytes > LARGEST_PAYLOAD_BYTES) throw new EventTooLargeError(bytes);
  return copyJson(rest);
}

function bytesOf(value: unknown): number {
  return new TextEncoder().encode(stringifyJson(value)).length;
}

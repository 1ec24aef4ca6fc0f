// The escalations that wait for a decision, and the decisions that the user makes.

import type { ApiClient } from "./client.js";
import { stringifyJson } from "./json.js";
import type { Change, DecisionIntent, Escalation, Query, Winner } from "./model.js";
import { progressAfter, type DecisionProgress } from "./outcome.js";
import { Poller, type FeedOptions } from "./poller.js";
import { ProblemError } from "./problem.js";
import { Store } from "./store.js";

export type InboxFilter = Omit<Query<"list-escalations">, "cursor" | "limit">;

export interface InboxState {
  escalations: Escalation[];
  filter: InboxFilter;
  hasMore: boolean;
  isLoading: boolean;
  /** The failure of the latest action, until the next one, or of the latest poll. */
  error: unknown;
  /** Ids of escalations that arrived since the inbox was first read. */
  arrivals: string[];
  /** The escalation that is shown, with all its fields. */
  selected: Escalation | undefined;
  selectedId: string | undefined;
  progress: ReadonlyMap<string, DecisionProgress>;
}

export interface InboxOptions extends FeedOptions {
  client: ApiClient;
  filter?: InboxFilter;
  /** Escalations of a page. Default: 25. */
  limit?: number;
}

/** Problems that end the possibility to decide. */
const CLOSED = ["escalation_closed", "escalation_not_found"];

/** Whether a response was read before a newer one. A closed escalation does not open again. */
function isOutdated(known: Escalation, read: Escalation): boolean {
  return known.status !== "open" && read.status === "open";
}

export class InboxStore extends Store<InboxState> {
  readonly #client: ApiClient;
  readonly #poller: Poller;
  readonly #limit: number;
  readonly #keys = new Map<string, string>();
  #pages = 1;
  #etag: string | null = null;
  #reading = 0;
  #seen: Set<string> | undefined;
  /** The failure of the latest action. A poll does not remove it. */
  #failure: unknown;

  constructor({ client, filter = {}, limit = 25, ...polling }: InboxOptions) {
    super({
      escalations: [],
      filter,
      hasMore: false,
      isLoading: false,
      error: undefined,
      arrivals: [],
      selected: undefined,
      selectedId: undefined,
      progress: new Map(),
    });
    this.#client = client;
    this.#limit = limit;
    const concerns = ({ kind, sessionId }: Change) =>
      kind === "escalation" && (this.state.filter.sessionId ?? sessionId) === sessionId;
    this.#poller = new Poller((signal) => this.#poll(signal), polling, concerns);
  }

  start(): this {
    this.#poller.start();
    return this;
  }

  stop(): void {
    this.#poller.stop();
  }

  refresh(): Promise<void> {
    return this.#poller.refresh();
  }

  /** Shows other escalations. */
  setFilter(filter: InboxFilter): Promise<void> {
    this.#pages = 1;
    this.#etag = null;
    this.#seen = undefined;
    this.#reading += 1;
    this.update({ filter, escalations: [], arrivals: [], hasMore: false });
    return this.refresh();
  }

  loadMore(): Promise<void> {
    this.#pages += 1;
    this.#etag = null;
    return this.refresh();
  }

  /** Removes the note about new escalations. */
  acknowledgeArrivals(): void {
    this.update({ arrivals: [] });
  }

  /** Shows one escalation, also one that the list does not have: a link to it works. */
  async select(id: string | undefined): Promise<void> {
    const listed = this.state.escalations.find((escalation) => escalation.id === id);
    this.update({ selectedId: id, selected: listed });
    if (id) await this.#act(() => this.#readOne(id));
    if (this.#isCallPending) void this.refresh();
  }

  /** Whether the call of the escalation that is shown is still to be made. */
  get #isCallPending(): boolean {
    return /pending|running/.test(this.state.selected?.delivery?.status ?? "");
  }

  /**
   * Sends a decision. A repeat of the same decision has the same `Idempotency-Key`, so it is safe
   * when no response arrived.
   */
  async decide(intent: DecisionIntent): Promise<DecisionProgress> {
    const { escalationId } = intent;
    if (this.state.progress.get(escalationId)?.state === "sending") {
      return { state: "sending", intent };
    }
    const shown = this.#find(escalationId);
    this.#setProgress(escalationId, { state: "sending", intent });
    const progress = await this.#send(intent, shown);
    this.#setProgress(escalationId, progress);
    if (progress.state !== "unknown") this.#keys.delete(stringifyJson(intent));
    await this.#readOne(escalationId).catch(() => {});
    void this.refresh();
    return progress;
  }

  /** Sends decisions one after another, each with its own outcome. */
  async decideAll(intents: readonly DecisionIntent[]): Promise<DecisionProgress[]> {
    const outcomes: DecisionProgress[] = [];
    for (const intent of intents) outcomes.push(await this.decide(intent));
    return outcomes;
  }

  async claim(id: string, seconds?: number): Promise<void> {
    const options = seconds === undefined ? {} : { seconds };
    await this.#change(() => this.#client.claimEscalation(id, options));
  }

  async release(id: string): Promise<void> {
    await this.#change(() => this.#client.releaseEscalation(id));
  }

  async #change(request: () => Promise<Escalation>): Promise<void> {
    await this.#act(async () => this.#replace(await request()));
    void this.refresh();
  }

  /** Performs an action. Its failure, whatever it is, is the error of the state. */
  async #act(action: () => Promise<void>): Promise<void> {
    this.#failure = undefined;
    await action().catch((error: unknown) => this.#fail(error));
  }

  #fail(error: unknown): void {
    this.#failure = error;
    this.update({ error });
  }

  async #send(intent: DecisionIntent, shown: Escalation | undefined): Promise<DecisionProgress> {
    try {
      const content = stringifyJson(intent);
      const key = this.#keys.get(content) ?? crypto.randomUUID();
      this.#keys.set(content, key);
      await this.#client.decideEscalation(intent, { idempotencyKey: key });
      return { state: "decided", decision: intent.decision };
    } catch (error) {
      const progress = progressAfter(error, intent, shown);
      if (progress.state !== "conflict") return progress;
      return { ...progress, winner: await this.#named(intent, progress.winner) };
    }
  }

  /** The recorded decision, with the name of the person. */
  async #named({ escalationId }: DecisionIntent, winner: Winner): Promise<Winner> {
    const current = await this.#client.getEscalation(escalationId).catch(() => undefined);
    const name = current?.changed ? current.data.decidedByName : null;
    return { ...winner, decidedByName: name ?? null };
  }

  #find(id: string): Escalation | undefined {
    const { selected, escalations } = this.state;
    return selected?.id === id ? selected : escalations.find((escalation) => escalation.id === id);
  }

  #setProgress(id: string, progress: DecisionProgress): void {
    this.update({ progress: new Map(this.state.progress).set(id, progress) });
  }

  #replace(escalation: Escalation): void {
    const { escalations, selected, selectedId } = this.state;
    const isSame = (old: Escalation) => old.id === escalation.id && !isOutdated(old, escalation);
    const replaced = escalations.map((old) => (isSame(old) ? escalation : old));
    const isSelected =
      selectedId === escalation.id && !(selected && isOutdated(selected, escalation));
    this.update({
      escalations: replaced,
      selected: isSelected ? { ...selected, ...escalation } : selected,
    });
  }

  async #readOne(id: string): Promise<void> {
    try {
      const response = await this.#client.getEscalation(id);
      if (response.changed) this.#replace(response.data);
    } catch (error) {
      const code = error instanceof ProblemError ? (error.code ?? "") : "";
      if (!CLOSED.includes(code)) throw error;
      if (id !== this.state.selectedId) return;
      this.update({ selected: undefined });
      this.#fail(error);
    }
  }

  async #poll(signal: AbortSignal): Promise<boolean> {
    const reading = ++this.#reading;
    this.update({ isLoading: true });
    try {
      const pages = await this.#readPages(signal);
      // The filter changed meanwhile, so the response belongs to another list.
      if (reading !== this.#reading) return false;
      if (pages) this.#accept(pages.escalations, pages.hasMore);
      // A decided escalation leaves the list before its call is made.
      if (this.#isCallPending) await this.#readOne(this.state.selected?.id ?? "");
      this.update({ isLoading: false, error: this.#failure });
      return this.#isCallPending;
    } catch (error) {
      if (reading !== this.#reading) return false;
      this.update(signal.aborted ? { isLoading: false } : { isLoading: false, error });
      if (signal.aborted) return false;
      throw error;
    }
  }

  async #readPages(signal: AbortSignal) {
    const escalations: Escalation[] = [];
    let cursor: string | null = null;
    for (let page = 0; page < this.#pages; page++) {
      const query: Query<"list-escalations"> = { ...this.state.filter, limit: this.#limit };
      if (cursor) query.cursor = cursor;
      const etag = this.#pages === 1 ? this.#etag : null;
      const response = await this.#client.listEscalations(query, { signal, attempts: 1, etag });
      if (!response.changed) return undefined;
      this.#etag = response.etag;
      escalations.push(...(response.data.escalations as Escalation[]));
      cursor = response.data.nextCursor;
      if (!cursor) break;
    }
    return { escalations, hasMore: cursor !== null };
  }

  #accept(escalations: Escalation[], hasMore: boolean): void {
    const seen = this.#seen;
    const isNew = ({ id }: Escalation) => seen !== undefined && !seen.has(id);
    const listed = new Set(escalations.map(({ id }) => id));
    const arrivals = [
      ...this.state.arrivals.filter((id) => listed.has(id)),
      ...escalations.filter(isNew).map(({ id }) => id),
    ];
    this.#seen = new Set([...(seen ?? []), ...listed]);
    this.update({ escalations, hasMore, arrivals });
    const current = escalations.find(({ id }) => id === this.state.selectedId);
    if (current) this.#replace(current);
  }
}

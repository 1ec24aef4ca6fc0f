// Connects the events of elements with stores. Elements are views and send no requests.

import type { DecisionIntent, Escalation } from "./model.js";
import type { InboxFilter, InboxState, InboxStore } from "./inbox.js";
import type { DecisionProgress } from "./outcome.js";

/** The properties of `<cks-inbox>` that a store sets. */
export interface InboxView extends EventTarget {
  escalations: readonly Escalation[];
  selected: Escalation | undefined;
  selectedId: string | undefined;
  filter: InboxFilter;
  hasMore: boolean;
  isLoading: boolean;
  failure: unknown;
  arrivals: readonly string[];
  progress: ReadonlyMap<string, DecisionProgress>;
}

/** Shows a store in `<cks-inbox>`, and sends what the user decides. Returns its end. */
export function connectInbox(view: InboxView, store: InboxStore): () => void {
  const listeners = new AbortController();
  const { signal } = listeners;
  const on = <T>(type: string, handle: (detail: T) => unknown) =>
    view.addEventListener(type, (event) => void handle((event as CustomEvent<T>).detail), {
      signal,
    });

  on<DecisionIntent>("cks-decide", (intent) => store.decide(intent));
  on<{ intents: DecisionIntent[] }>("cks-decide-all", ({ intents }) => store.decideAll(intents));
  on<{ escalationId: string | undefined }>("cks-select", ({ escalationId }) =>
    store.select(escalationId),
  );
  on<{ filter: InboxFilter }>("cks-filter", ({ filter }) => store.setFilter(filter));
  on<{ escalationId: string }>("cks-claim", ({ escalationId }) => store.claim(escalationId));
  on<{ escalationId: string }>("cks-release", ({ escalationId }) => store.release(escalationId));
  on("cks-load-more", () => store.loadMore());
  on("cks-arrivals-seen", () => store.acknowledgeArrivals());

  const unsubscribe = store.subscribe((state) => show(view, state));
  return () => {
    listeners.abort();
    unsubscribe();
  };
}

function show(view: InboxView, state: Readonly<InboxState>): void {
  view.escalations = state.escalations;
  view.selected = state.selected;
  view.selectedId = state.selectedId;
  view.filter = state.filter;
  view.hasMore = state.hasMore;
  view.isLoading = state.isLoading;
  view.failure = state.error;
  view.arrivals = state.arrivals;
  view.progress = state.progress;
}

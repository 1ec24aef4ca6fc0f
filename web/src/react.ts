// React components of the elements. Importing this module defines the elements.

import { createComponent, type EventName } from "@lit/react";
import * as React from "react";
import "./handover-banner.js";
import "./inbox.js";
import "./metrics.js";
import "./session-picker.js";
import "./task-list.js";
import "./timeline.js";
import "./transcript.js";
import type { DecisionIntent } from "./core/model.js";
import {
  CksApprovalCard,
  CksHandoverBanner,
  CksInbox,
  CksMetrics,
  CksSchemaForm,
  CksSessionPicker,
  CksTaskList,
  CksTimeline,
  CksTranscript,
  type DecideAll,
  type EscalationRef,
  type FilterChange,
  type FormChange,
  type HandoverRequest,
  type SessionRef,
} from "./elements/index.js";

type Named<T> = EventName<CustomEvent<T>>;

const deciding = {
  onDecide: "cks-decide" as Named<DecisionIntent>,
  onClaim: "cks-claim" as Named<EscalationRef>,
  onRelease: "cks-release" as Named<EscalationRef>,
};

export const ApprovalCard = createComponent({
  react: React,
  tagName: "cks-approval-card",
  elementClass: CksApprovalCard,
  events: { ...deciding, onSelectEscalation: "cks-select" as Named<EscalationRef> },
});

export const Inbox = createComponent({
  react: React,
  tagName: "cks-inbox",
  elementClass: CksInbox,
  events: {
    ...deciding,
    onSelectEscalation: "cks-select" as Named<{ escalationId: string | undefined }>,
    onDecideAll: "cks-decide-all" as Named<DecideAll>,
    onFilter: "cks-filter" as Named<FilterChange>,
    onLoadMore: "cks-load-more" as Named<object>,
    onArrivalsSeen: "cks-arrivals-seen" as Named<object>,
  },
});

export const SchemaForm = createComponent({
  react: React,
  tagName: "cks-schema-form",
  elementClass: CksSchemaForm,
  events: { onFormChange: "cks-change" as Named<FormChange> },
});

export const TaskList = createComponent({
  react: React,
  tagName: "cks-task-list",
  elementClass: CksTaskList,
  events: { onSelectEscalation: "cks-select" as Named<EscalationRef> },
});

export const HandoverBanner = createComponent({
  react: React,
  tagName: "cks-handover-banner",
  elementClass: CksHandoverBanner,
  events: {
    onHandover: "cks-handover" as Named<HandoverRequest>,
    onDismiss: "cks-dismiss" as Named<{ eventId: string }>,
  },
});

export const SessionPicker = createComponent({
  react: React,
  tagName: "cks-session-picker",
  elementClass: CksSessionPicker,
  events: {
    onResume: "cks-resume" as Named<SessionRef>,
    onEndSession: "cks-end-session" as Named<SessionRef>,
    onNewSession: "cks-new-session" as Named<object>,
  },
});

export const Transcript = createComponent({
  react: React,
  tagName: "cks-transcript",
  elementClass: CksTranscript,
});

export const Timeline = createComponent({
  react: React,
  tagName: "cks-timeline",
  elementClass: CksTimeline,
  events: { onLoadMore: "cks-load-more" as Named<object> },
});

export const MetricsView = createComponent({
  react: React,
  tagName: "cks-metrics",
  elementClass: CksMetrics,
});

/** The state of a store, for a component that shows it. */
export function useStore<T extends object>(store: {
  readonly state: Readonly<T>;
  subscribe(listener: (state: Readonly<T>) => void): () => void;
}): Readonly<T> {
  const subscribe = React.useCallback((notify: () => void) => store.subscribe(notify), [store]);
  return React.useSyncExternalStore(subscribe, () => store.state);
}

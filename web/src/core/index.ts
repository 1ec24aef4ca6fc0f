export { connectInbox, type InboxView } from "./actions.js";
export { ChangeFeed, type ChangeFeedOptions } from "./changes.js";
export { createChatFetch, type ChatFetchOptions } from "./chat-fetch.js";
export {
  chatkitHandlers,
  chatkitOptions,
  connectChatKit,
  recordChatKit,
  type ChatElement,
  type ChatHandlers,
  type ChatKitConnection,
  type PageTool,
} from "./chatkit.js";
export {
  ApiClient,
  type ApiClientOptions,
  type Conditional,
  type OpenSession,
  type ReadOptions,
  type RequestOptions,
} from "./client.js";
export { InboxStore, type InboxFilter, type InboxOptions, type InboxState } from "./inbox.js";
export { digitsOf, parseJson, stringifyJson } from "./json.js";
export type * from "./model.js";
export type { DecisionProgress } from "./outcome.js";
export {
  Poller,
  type ChangeSource,
  type FeedOptions,
  type PollerOptions,
  type Wake,
} from "./poller.js";
export { NoResponseError, ProblemError } from "./problem.js";
export {
  DEFAULT_FIELDS,
  EventRecorder,
  EventTooLargeError,
  type EventRecorderOptions,
} from "./recorder.js";
export {
  ChatSession,
  type ChatOptions,
  type ChatSessionOptions,
  type HostedApi,
  type SelfHostedApi,
} from "./session.js";
export {
  agentStore,
  followList,
  mergeEvents,
  metricsStore,
  ResourceStore,
  sessionListStore,
  sessionStore,
  Store,
  transcriptStore,
  type Snapshot,
} from "./store.js";

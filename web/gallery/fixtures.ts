// Data for the gallery and the tests, in the form that the API returns.

export * from "./fixtures/common.js";
export * from "./fixtures/conversation.js";
export * from "./fixtures/escalations.js";
export * from "./fixtures/metrics.js";

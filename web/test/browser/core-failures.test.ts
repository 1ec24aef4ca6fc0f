// What the client and the stores make of failures, also of those that are not the API's.

import { describe, expect, test } from "vitest";
import { ApiClient } from "../../src/core/client.js";
import { InboxStore } from "../../src/core/inbox.js";
import { NoResponseError, ProblemError } from "../../src/core/problem.js";
import { EventRecorder } from "../../src/core/recorder.js";
import { ChatSession } from "../../src/core/session.js";
import {
  agentStore,
  metricsStore,
  sessionListStore,
  sessionStore,
  transcriptStore,
} from "../../src/core/store.js";
import { escalation, HASH } from "../../gallery/fixtures.js";
import { FakeApi, json, OFFLINE, problem, SESSION_ID } from "./support.js";

const throttled = () =>
  new Response('{"Reason":"ConcurrentInvocationLimitExceeded","message":"Rate Exceeded."}', {
    status: 429,
  });
const gateway = (status: number) => new Response("<h1>Bad gateway</h1>", { status });

describe("responses", () => {
  // The status, the code of the API if it answered, and whether the same request may succeed later
  // and may have been processed nevertheless.
  test.each([
    [408, undefined, true, true],
    [425, undefined, true, false],
    [429, undefined, true, false],
    [429, "rate_limited", true, false],
    [429, "org_rate_limited", true, false],
    [409, "still_running", true, false],
    [500, "internal_error", true, true],
    [500, undefined, true, true],
    [502, undefined, true, true],
    [503, "supabase_unavailable", true, false],
    [503, undefined, true, true],
    [504, "supabase_timeout", true, true],
    [504, undefined, true, true],
    [400, undefined, false, false],
    [401, "expired_token", false, false],
    [403, undefined, false, false],
    [404, "session_not_found", false, false],
    [409, "event_id_reused", false, false],
    [409, undefined, false, false],
    [413, undefined, false, false],
    [422, "invalid_request", false, false],
  ])("%s_%s_is_temporary_%s_with_an_unknown_outcome_%s", (status, code, temporary, unknown) => {
    const error = new ProblemError(status, (code ? { code } : {}) as object);
    expect([error.isTemporary, error.isOutcomeUnknown]).toEqual([temporary, unknown]);
  });

  test("a_retry_after_of_a_gateway_may_be_a_date", async () => {
    const date = new Date(Date.now() + 20_000).toUTCString();
    const busy = new Response(null, { status: 503, headers: { "Retry-After": date } });
    const api = new FakeApi(busy, json({ agents: [], nextCursor: null }));
    await api.client().listAgents();
    expect(api.waits[0]).toBeGreaterThan(18_000);
    expect(api.waits[0]).toBeLessThan(26_000);
  });

  test.each([
    ["429 of Lambda", throttled],
    ["408", () => gateway(408)],
    ["502", () => gateway(502)],
    ["503", () => gateway(503)],
    ["504", () => gateway(504)],
    ["429 of the API", () => problem(429, "org_rate_limited")],
  ])("a_%s_does_not_lose_an_event", async (_name, reply) => {
    const api = new FakeApi(reply(), reply(), json({ events: [] }, { status: 201 }));
    const rejected: unknown[] = [];
    const recorder = new EventRecorder({
      client: api.client(),
      sessionId: SESSION_ID,
      delay: 1e6,
      onRejected: (_event, error) => rejected.push(error),
    });
    recorder.record("custom_x", {});
    await recorder.flush();
    expect([rejected, recorder.pending]).toEqual([[], 1]);
    await recorder.close();
    expect([rejected, recorder.pending]).toEqual([[], 0]);
  });
});

const SIGNED_OUT = new Error("signed out");

/** Failures of any kind, each as a client that has it. */
const FAILURES: [string, () => ApiClient, (error: unknown) => boolean][] = [
  ["a_missing_token", () => clientWith(() => Promise.reject(SIGNED_OUT)), (e) => e === SIGNED_OUT],
  [
    "a_token_source_that_throws",
    () =>
      clientWith(() => {
        throw SIGNED_OUT;
      }),
    (e) => e === SIGNED_OUT,
  ],
  [
    "a_thrown_text",
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
    () => clientWith(() => Promise.reject("signed out")),
    (e) => e === "signed out",
  ],
  [
    "a_lost_response",
    () => new FakeApi(...[1, 2, 3, 4].map(() => OFFLINE)).client(),
    (e) => e instanceof NoResponseError,
  ],
  [
    "a_throttle",
    () => new FakeApi(...[1, 2, 3, 4].map(throttled)).client(),
    (e) => e instanceof ProblemError && e.status === 429,
  ],
  [
    "a_broken_body",
    () => new FakeApi(...[1, 2, 3, 4].map(() => new Response("{"))).client(),
    (e) => e instanceof NoResponseError,
  ],
];

function clientWith(getAccessToken: () => Promise<string>): ApiClient {
  return new ApiClient({ baseUrl: "https://api.example.com", getAccessToken });
}

describe.each(FAILURES)("%s", (_name, client, isExpected) => {
  const intent = { escalationId: escalation().id, decision: "approve", subjectHash: HASH } as const;

  test.each([
    ["session", () => sessionStore(client(), SESSION_ID)],
    ["sessions", () => sessionListStore(client())],
    ["agents", () => agentStore(client())],
    ["metrics", () => metricsStore(client())],
    ["transcript", () => transcriptStore(client(), SESSION_ID)],
    ["inbox", () => new InboxStore({ client: client() })],
  ])("is_the_error_of_the_store_of_%s", async (_store, make) => {
    const store = make();
    await store.refresh();
    expect(store.state.isLoading).toBe(false);
    expect(store.state.error).toSatisfy(isExpected);
  });

  test.each([
    ["claim", (store: InboxStore) => store.claim(intent.escalationId)],
    ["release", (store: InboxStore) => store.release(intent.escalationId)],
    ["select", (store: InboxStore) => store.select(intent.escalationId)],
    ["load_more", (store: InboxStore) => store.loadMore()],
    ["set_filter", (store: InboxStore) => store.setFilter({ risk: "low" })],
  ])("is_the_error_of_an_inbox_after_%s", async (_action, act) => {
    const store = new InboxStore({ client: client() });
    await act(store);
    expect(store.state.error).toSatisfy(isExpected);
  });

  test("ends_the_sending_of_each_decision", async () => {
    const store = new InboxStore({ client: client() });
    const other = { ...intent, escalationId: escalation().id };
    const outcomes = await store.decideAll([intent, other]);
    expect(outcomes).toHaveLength(2);
    const states = [...store.state.progress.values()].map(({ state }) => state);
    expect(states).not.toContain("sending");
    expect(states[0]).toBe(outcomes[0]?.state);
  });

  test("reaches_who_asks_for_a_secret_and_the_next_call_asks_again", async () => {
    const errors: unknown[] = [];
    const session = new ChatSession({
      client: client(),
      agentId: "a",
      onError: (error) => errors.push(error),
    });
    await expect(session.getClientSecret(null)).rejects.toSatisfy(isExpected);
    await session.getClientSecret(null).catch(() => {});
    expect(errors).toHaveLength(2);
    session.close();
  });
});

describe("inbox store", () => {
  const page = (...escalations: object[]) => json({ escalations, nextCursor: null });

  test("a_decision_without_a_token_can_be_repeated_under_its_key", async () => {
    const shown = escalation();
    const api = new FakeApi(page(shown));
    let isSignedIn = true;
    const client = new ApiClient({
      baseUrl: "https://api.example.com",
      getAccessToken: () => (isSignedIn ? Promise.resolve("token") : Promise.reject(SIGNED_OUT)),
      fetch: api.fetch,
    });
    const store = new InboxStore({ client });
    await store.refresh();
    const intent = { escalationId: shown.id, decision: "approve", subjectHash: HASH } as const;
    isSignedIn = false;
    expect(await store.decide(intent)).toEqual({ state: "unknown", intent });
    isSignedIn = true;
    api.reply(json({}), json(shown), page(shown));
    expect(await store.decide(intent)).toMatchObject({ state: "decided" });
  });

  test("a_failed_claim_is_shown_until_the_next_action", async () => {
    const shown = escalation();
    const api = new FakeApi(page(shown), problem(409, "escalation_claimed"));
    api.reply(page(shown), page(shown));
    const store = new InboxStore({ client: api.client() });
    await store.refresh();
    await store.claim(shown.id);
    await store.refresh();
    expect((store.state.error as ProblemError).code).toBe("escalation_claimed");
    api.reply(json(shown), page(shown), page(shown));
    await store.claim(shown.id);
    await store.refresh();
    expect(store.state.error).toBeUndefined();
  });

  test("a_closed_escalation_does_not_remove_another_that_is_shown", async () => {
    const [one, two] = [escalation(), escalation()];
    const api = new FakeApi(page(one, two));
    const store = new InboxStore({ client: api.client() });
    await store.refresh();
    let answer = (_response: Response) => {};
    api.reply(() => new Promise<Response>((resolve) => (answer = resolve)), json(two));
    const first = store.select(one.id);
    await store.select(two.id);
    answer(problem(404, "escalation_not_found"));
    await first;
    expect(store.state.selected?.id).toBe(two.id);
  });

  test("a_store_that_is_stopped_does_not_load", async () => {
    const never = new FakeApi(() => new Promise(() => {}));
    const abortable = (request: Request) =>
      new Promise<Response>((_resolve, reject) => {
        request.signal.addEventListener("abort", () => reject(new DOMException("x", "AbortError")));
        void never.fetch(request);
      });
    const client = new ApiClient({
      baseUrl: "https://api.example.com",
      getAccessToken: () => Promise.resolve("token"),
      fetch: abortable,
    });
    const store = new InboxStore({ client }).start();
    await expect.poll(() => never.calls.length).toBe(1);
    store.stop();
    await expect.poll(() => store.state.isLoading).toBe(false);
  });
});

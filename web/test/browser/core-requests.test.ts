import { afterEach, describe, expect, test, vi } from "vitest";
import { ChatSession } from "../../src/core/session.js";
import { createChatFetch } from "../../src/core/chat-fetch.js";
import { EventRecorder } from "../../src/core/recorder.js";
import { InboxStore } from "../../src/core/inbox.js";
import { Poller } from "../../src/core/poller.js";
import { NoResponseError, ProblemError } from "../../src/core/problem.js";
import { recordChatKit, chatkitHandlers } from "../../src/core/chatkit.js";
import { sessionStore, transcriptStore } from "../../src/core/store.js";
import { escalation, HASH, message, resolved } from "../../gallery/fixtures.js";
import { FakeApi, json, OFFLINE, problem } from "./support.js";

const SESSION_ID = "019aaa00-7c00-7000-8000-000000000001";

function opened(secret: string, id = SESSION_ID, rest: object = {}) {
  return json({
    id,
    status: "active",
    agentId: "accounts_payable",
    chatkit: { provider: "openai_hosted", clientSecret: secret, ...rest },
  });
}

const bodies = (api: FakeApi) => api.calls.map(({ body }) => body);

describe("client", () => {
  test("values_of_a_list_are_sent_in_one_parameter", async () => {
    const api = new FakeApi(json({ escalations: [], nextCursor: null }));
    await api.client().listEscalations({ status: ["open", "resolved"], limit: 5 });
    expect(api.calls[0]?.path).toBe("/chatkit/escalations?status=open,resolved&limit=5");
  });

  test("an_expired_token_is_replaced_once", async () => {
    const api = new FakeApi(problem(401, "expired_token"), problem(401, "expired_token"));
    const error = await api
      .client()
      .listAgents()
      .catch((cause: unknown) => cause);
    expect((error as ProblemError).code).toBe("expired_token");
    expect(api.calls.map(({ headers }) => headers.get("Authorization"))).toEqual([
      "Bearer token",
      "Bearer new-token",
    ]);
  });

  test("a_temporary_problem_is_retried_after_the_stated_time_with_the_same_key", async () => {
    const api = new FakeApi(problem(503, "supabase_unavailable", {}, 7), OFFLINE, opened("ek_1"));
    await api.client().openSession({ agentId: "a" });
    expect(api.waits[0]).toBeGreaterThanOrEqual(7000);
    const keys = api.calls.map(({ headers }) => headers.get("Idempotency-Key"));
    expect(keys).toHaveLength(3);
    expect(new Set(keys).size).toBe(1);
    expect(keys[0]).toBeTruthy();
  });

  test("a_rejected_request_is_not_retried", async () => {
    const errors = [{ pointer: "/agentId", detail: "unknown" }];
    const api = new FakeApi(problem(422, "invalid_request", { errors, requestId: "r" }));
    const error = await api
      .client()
      .openSession({ agentId: "a" })
      .catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(ProblemError);
    expect(error).toMatchObject({ code: "invalid_request", errors, requestId: "r", status: 422 });
    expect(api.calls).toHaveLength(1);
  });

  test("a_lost_response_is_not_a_problem", async () => {
    const api = new FakeApi(OFFLINE);
    const error = await api
      .client()
      .listAgents({ attempts: 1 })
      .catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(NoResponseError);
  });
});

describe("session", () => {
  afterEach(() => vi.restoreAllMocks());

  test("simultaneous_calls_share_one_request", async () => {
    const api = new FakeApi(opened("ek_1"));
    const session = new ChatSession({ client: api.client(), agentId: "accounts_payable" });
    const secrets = await Promise.all([1, 2, 3].map(() => session.getClientSecret(null)));
    expect(secrets).toEqual(["ek_1", "ek_1", "ek_1"]);
    expect(bodies(api)).toEqual([{ agentId: "accounts_payable" }]);
    session.close();
  });

  test("tabs_share_one_refresh", async () => {
    const first = new FakeApi(opened("ek_1"), async () => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      return opened("ek_2");
    });
    const second = new FakeApi(opened("ek_1"));
    const options = { agentId: "accounts_payable", sessionId: SESSION_ID };
    const tabs = [first, second].map(
      (api) => new ChatSession({ client: api.client(), ...options }),
    );
    const [one, two] = tabs as [ChatSession, ChatSession];
    await one.getClientSecret(null);
    await two.getClientSecret(null);
    const refreshed = await Promise.all([one.getClientSecret("ek_1"), two.getClientSecret("ek_1")]);
    expect(refreshed).toEqual(["ek_2", "ek_2"]);
    expect(first.calls.length + second.calls.length).toBe(3);
    tabs.forEach((tab) => tab.close());
  });

  test("a_secret_that_is_issued_again_is_reported_as_rejected", async () => {
    const api = new FakeApi(opened("ek_1"), opened("ek_1"), opened("ek_2"));
    const session = new ChatSession({ client: api.client(), agentId: "a", sessionId: SESSION_ID });
    await session.getClientSecret(null);
    expect(await session.getClientSecret("ek_1")).toBe("ek_2");
    expect(bodies(api)).toEqual([
      { sessionId: SESSION_ID, purpose: "resume" },
      { sessionId: SESSION_ID, purpose: "refresh" },
      { sessionId: SESSION_ID, purpose: "refresh", rejected: true },
    ]);
    session.close();
  });

  test("an_ended_session_is_followed_by_a_new_one_under_a_new_key", async () => {
    const other = "019aaa00-7c00-7000-8000-000000000002";
    const api = new FakeApi(opened("ek_1"), problem(409, "session_ended"), opened("ek_9", other));
    const ids: string[] = [];
    const session = new ChatSession({
      client: api.client(),
      agentId: "a",
      onSession: ({ id }) => ids.push(id),
    });
    await session.getClientSecret(null);
    expect(await session.getClientSecret("ek_1")).toBe("ek_9");
    expect(ids).toEqual([SESSION_ID, other]);
    const keys = api.calls.map(({ headers }) => headers.get("Idempotency-Key"));
    expect(keys[2]).not.toBe(keys[0]);
    session.close();
  });

  test("the_provider_decides_the_options", async () => {
    const hosted = new ChatSession({ client: new FakeApi(opened("ek_1")).client(), agentId: "a" });
    expect(Object.keys((await hosted.connect()).api)).toEqual(["getClientSecret"]);
    hosted.close();
    const self = opened("cs_1", SESSION_ID, {
      provider: "self_hosted",
      apiUrl: "https://chat.example.com/chatkit",
      domainKey: "domain_pk_1",
      startScreen: { greeting: "Hello" },
    });
    const selfHosted = new ChatSession({ client: new FakeApi(self).client(), agentId: "a" });
    expect(await selfHosted.connect()).toMatchObject({
      api: { url: "https://chat.example.com/chatkit", domainKey: "domain_pk_1" },
      startScreen: { greeting: "Hello" },
    });
    selfHosted.close();
  });
});

describe("chat fetch", () => {
  const send = (text: string) => JSON.stringify({ type: "threads.create", params: { text } });

  test("a_broken_message_is_repeated_under_its_key_and_a_complete_one_is_not", async () => {
    const keys: (string | null)[] = [];
    const secrets: (string | null)[] = [];
    const broken = new ReadableStream({
      start: (controller) => controller.error(new TypeError("cut")),
    });
    const replies = [new Response(broken), new Response("done"), new Response("again")];
    const chatFetch = createChatFetch({
      getClientSecret: () => Promise.resolve("cs_1"),
      onStop: () => {},
      fetch: (_input, init) => {
        const headers = new Headers(init?.headers);
        keys.push(headers.get("Idempotency-Key"));
        secrets.push(headers.get("Authorization"));
        return Promise.resolve(replies.shift() as Response);
      },
    });
    const post = (body: string) => chatFetch("https://chat.example.com", { method: "POST", body });
    await (await post(send("pay"))).text().catch(() => {});
    await (await post(send("pay"))).text();
    await (await post(send("pay"))).text();
    expect(keys[0]).toBeTruthy();
    expect(keys[1]).toBe(keys[0]);
    expect(keys[2]).not.toBe(keys[0]);
    expect(new Set(secrets)).toEqual(new Set(["Bearer cs_1"]));
  });

  test("an_aborted_message_stops_the_answer", () => {
    const onStop = vi.fn();
    const chatFetch = createChatFetch({
      getClientSecret: () => Promise.resolve("cs_1"),
      onStop,
      fetch: () => new Promise(() => {}),
    });
    const controller = new AbortController();
    void chatFetch("https://chat.example.com", { body: send("x"), signal: controller.signal });
    controller.abort();
    expect(onStop).toHaveBeenCalledOnce();
  });
});

describe("recorder", () => {
  const recorded = () => json({ events: [] }, { status: 201 });
  const ids = (api: FakeApi) =>
    api.calls.map(({ body }) => (body as { id: string }[]).map(({ id }) => id));

  test("events_wait_for_the_session_and_are_sent_in_batches_of_100", async () => {
    const api = new FakeApi(recorded(), recorded());
    const recorder = new EventRecorder({ client: api.client(), delay: 1e6 });
    const expected = Array.from({ length: 130 }, () => recorder.record("custom_x", {}));
    await recorder.flush();
    expect(api.calls).toHaveLength(0);
    recorder.setSession(SESSION_ID);
    await recorder.flush();
    expect(ids(api).map(({ length }) => length)).toEqual([100, 30]);
    expect(ids(api).flat()).toEqual(expected);
    expect(recorder.pending).toBe(0);
    await recorder.close();
  });

  test("events_that_are_recorded_offline_are_sent_once_when_the_network_returns", async () => {
    const api = new FakeApi(OFFLINE, OFFLINE, recorded());
    const recorder = new EventRecorder({
      client: api.client(),
      sessionId: SESSION_ID,
      delay: 1e6,
    });
    const id = recorder.record("feedback", { rating: "positive" });
    await recorder.flush();
    expect(recorder.pending).toBe(1);
    window.dispatchEvent(new Event("online"));
    await vi.waitFor(() => expect(recorder.pending).toBe(0));
    expect(new Set(ids(api).flat())).toEqual(new Set([id]));
    await recorder.close();
  });

  test("one_invalid_event_does_not_hold_the_others_back", async () => {
    const api = new FakeApi(
      problem(422, "invalid_request"),
      recorded(),
      problem(422, "invalid_request"),
      recorded(),
    );
    const rejected: string[] = [];
    const recorder = new EventRecorder({
      client: api.client(),
      sessionId: SESSION_ID,
      delay: 1e6,
      onRejected: ({ id }) => rejected.push(id),
    });
    const [, bad] = ["a", "b", "c"].map((x) => recorder.record(`custom_${x}`, {}));
    await recorder.flush();
    expect(rejected).toEqual([bad]);
    expect(recorder.pending).toBe(0);
    await recorder.close();
  });

  test("only_listed_fields_leave_the_page", async () => {
    const api = new FakeApi(recorded());
    const recorder = new EventRecorder({
      client: api.client(),
      sessionId: SESSION_ID,
      delay: 1e6,
      fields: { feedback: ["rating"] },
    });
    recorder.record("feedback", { rating: "positive", comment: "private" });
    recorder.record("tool_call", { name: "open", arguments: { secret: 1 }, other: 2 });
    await recorder.flush();
    const sent = api.calls[0]?.body as { payload: unknown }[];
    expect(sent.map(({ payload }) => payload)).toEqual([{ rating: "positive" }, { name: "open" }]);
    await recorder.close();
  });

  test("events_of_chatkit_become_events_of_the_session", async () => {
    const api = new FakeApi(recorded());
    const client = api.client();
    const recorder = new EventRecorder({ client, sessionId: SESSION_ID, delay: 1e6 });
    const session = new ChatSession({ client, agentId: "a" });
    const element = document.createElement("div");
    const { threadId, stop } = recordChatKit(element, { session, recorder });
    const dispatch = (name: string, detail: object) =>
      element.dispatchEvent(new CustomEvent(`chatkit.${name}`, { detail }));
    dispatch("thread.change", { threadId: "cthr_1" });
    dispatch("error", { error: new TypeError("broken") });
    dispatch("log", { name: "x" });
    const tools = new Map([
      ["fail", () => Promise.reject<Record<string, unknown>>(new Error("no"))],
    ]);
    const handlers = chatkitHandlers({ session, recorder, tools, threadId });
    await expect(handlers.onClientTool({ name: "fail", params: {} })).rejects.toThrow("no");
    stop();
    dispatch("thread.change", { threadId: "cthr_2" });
    await recorder.flush();
    const sent = api.calls[0]?.body as { type: string; payload: object }[];
    expect(sent.map(({ type }) => type)).toEqual([
      "thread_changed",
      "error",
      "tool_call",
      "tool_failed",
    ]);
    expect(sent[1]?.payload).toEqual({
      message: "broken",
      name: "TypeError",
      threadId: "cthr_1",
    });
    session.close();
    await recorder.close();
  });
});

describe("poller", () => {
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  test("failures_increase_the_interval_and_retry_after_is_obeyed", async () => {
    vi.useFakeTimers();
    vi.spyOn(Math, "random").mockReturnValue(0.5);
    const poll = vi.fn(() => Promise.resolve());
    const poller = new Poller(poll, { interval: 1000 });
    const failed = new ProblemError(503, {}, 60);
    poller.start();
    await vi.advanceTimersByTimeAsync(0);
    expect(poll).toHaveBeenCalledTimes(1);
    poll.mockRejectedValueOnce(new NoResponseError(undefined));
    await vi.advanceTimersByTimeAsync(1000);
    expect(poll).toHaveBeenCalledTimes(2);
    poll.mockRejectedValueOnce(failed);
    await vi.advanceTimersByTimeAsync(1999);
    expect(poll).toHaveBeenCalledTimes(2);
    await vi.advanceTimersByTimeAsync(1);
    expect(poll).toHaveBeenCalledTimes(3);
    // Neither the focus nor the interval polls before the API allows it.
    window.dispatchEvent(new Event("focus"));
    await vi.advanceTimersByTimeAsync(59_000);
    expect(poll).toHaveBeenCalledTimes(3);
    await vi.advanceTimersByTimeAsync(1000);
    expect(poll).toHaveBeenCalledTimes(4);
    poller.stop();
  });

  test("a_hidden_page_does_not_poll_and_a_visible_one_polls_at_once", async () => {
    vi.useFakeTimers();
    const hidden = vi.spyOn(document, "hidden", "get").mockReturnValue(false);
    const poll = vi.fn(() => Promise.resolve());
    const poller = new Poller(poll, { interval: 1000 });
    poller.start();
    await vi.advanceTimersByTimeAsync(0);
    hidden.mockReturnValue(true);
    await vi.advanceTimersByTimeAsync(60_000);
    const whileHidden = poll.mock.calls.length;
    expect(whileHidden).toBeLessThanOrEqual(2);
    hidden.mockReturnValue(false);
    document.dispatchEvent(new Event("visibilitychange"));
    await vi.advanceTimersByTimeAsync(0);
    expect(poll).toHaveBeenCalledTimes(whileHidden + 1);
    poller.stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(poll).toHaveBeenCalledTimes(whileHidden + 1);
  });
});

describe("stores", () => {
  test("an_unchanged_session_is_asked_for_by_its_etag_and_kept", async () => {
    const api = new FakeApi(
      json({ id: SESSION_ID, tasks: [] }, { headers: { ETag: '"1"' } }),
      new Response(null, { status: 304 }),
      problem(503, "supabase_unavailable"),
    );
    const store = sessionStore(api.client(), SESSION_ID);
    await store.refresh();
    await store.refresh();
    await store.refresh();
    expect(api.calls.map(({ path }) => path)[0]).toContain("include=none");
    expect(api.calls.map(({ headers }) => headers.get("If-None-Match"))).toEqual([
      null,
      '"1"',
      '"1"',
    ]);
    expect(store.state.data).toMatchObject({ id: SESSION_ID });
    expect((store.state.error as ProblemError).code).toBe("supabase_unavailable");
  });

  test("a_transcript_is_read_from_its_last_page_on", async () => {
    const [one, two, three] = [1, 2, 3].map((n) => message(n, "user", `m${n}`));
    const api = new FakeApi(
      json({ messages: [one], nextCursor: "c1" }),
      json({ messages: [two], nextCursor: null }),
      json({ messages: [two, three], nextCursor: null }),
    );
    const store = transcriptStore(api.client(), SESSION_ID);
    await store.refresh();
    await store.refresh();
    expect(store.state.data?.map(({ content }) => content)).toEqual(["m1", "m2", "m3"]);
    expect(api.calls[2]?.path).toContain("cursor=c1");
  });
});

describe("inbox store", () => {
  const page = (...escalations: object[]) => json({ escalations, nextCursor: null });

  async function storeWith(...replies: ConstructorParameters<typeof FakeApi>) {
    const shown = escalation();
    const api = new FakeApi(page(shown), ...replies);
    const store = new InboxStore({ client: api.client() });
    await store.refresh();
    const intent = { escalationId: shown.id, decision: "approve", subjectHash: HASH } as const;
    return { api, store, shown, intent };
  }

  test("a_decision_names_the_hash_and_the_result_is_the_apis", async () => {
    const { api, store, shown, intent } = await storeWith(json({}));
    api.reply(json(resolved("approve", { id: shown.id })), page());
    const progress = await store.decide(intent);
    expect(progress).toEqual({ state: "decided", decision: "approve" });
    const call = api.calls[1];
    expect(call?.path).toBe(`/chatkit/escalations/${shown.id}/decision`);
    expect(call?.body).toEqual({ decision: "approve", subjectHash: HASH });
  });

  test("a_decided_escalation_is_read_until_its_call_is_made", async () => {
    const { api, store, shown } = await storeWith();
    const read = (status: "pending" | "done") => {
      const delivery = { id: shown.id, status, error: null };
      api.reply(page(), json(resolved("approve", { id: shown.id, delivery })));
    };
    api.reply(
      json(
        resolved("approve", {
          id: shown.id,
          delivery: { id: shown.id, status: "pending", error: null },
        }),
      ),
    );
    await store.select(shown.id);
    read("pending");
    await store.refresh();
    read("done");
    await store.refresh();
    expect(store.state.selected?.delivery?.status).toBe("done");
    api.reply(page());
    await store.refresh();
    expect(api.calls).toHaveLength(7);
  });

  test("a_lost_response_is_unknown_and_its_repeat_has_the_same_key", async () => {
    const { api, store, shown, intent } = await storeWith(OFFLINE, OFFLINE, OFFLINE, OFFLINE);
    api.reply(json(shown), page(shown));
    expect(await store.decide(intent)).toMatchObject({ state: "unknown" });
    await vi.waitFor(() => expect(api.calls).toHaveLength(7));
    api.reply(json({}), json(resolved("approve", { id: shown.id })), page());
    expect(await store.decide(intent)).toMatchObject({ state: "decided" });
    const decisions = api.calls.filter(({ path }) => path.endsWith("/decision"));
    const keys = decisions.map(({ headers }) => headers.get("Idempotency-Key"));
    expect(keys).toHaveLength(5);
    expect(new Set(keys).size).toBe(1);
  });

  test.each([
    [504, "supabase_timeout", "unknown"],
    [500, "internal_error", "unknown"],
    [503, "supabase_unavailable", "refused"],
  ] as const)("a_decision_that_ends_with_%s_%s_is_%s", async (status, code, state) => {
    const replies = [1, 2, 3, 4].map(() => problem(status, code));
    const { api, store, shown, intent } = await storeWith(...replies);
    api.reply(json(shown), json({ escalations: [shown], nextCursor: null }));
    expect(await store.decide(intent)).toMatchObject({ state });
  });

  test("a_conflict_names_the_person_who_decided", async () => {
    const winner = { decision: "reject", decidedBy: "u", decidedAt: "2026-11-22T10:06:00.000000Z" };
    const { api, store, shown, intent } = await storeWith(
      problem(409, "escalation_resolved", { decision: winner }),
    );
    const done = resolved("reject", { id: shown.id, decidedByName: "treasurer@example.com" });
    api.reply(json(done), json(done), page());
    expect(await store.decide(intent)).toEqual({
      state: "conflict",
      winner: { ...winner, decidedByName: "treasurer@example.com" },
    });
  });

  test("a_changed_subject_is_read_again_and_not_decided", async () => {
    const { api, store, shown, intent } = await storeWith(problem(409, "subject_changed"));
    const changed = { ...shown, subjectHash: HASH.replace("9f", "00") };
    api.reply(json(changed), page(changed));
    await store.select(undefined);
    expect(await store.decide(intent)).toMatchObject({
      state: "changed",
      previous: { id: shown.id },
    });
    expect(store.state.escalations[0]?.subjectHash).toBe(changed.subjectHash);
  });

  test("a_second_click_while_sending_sends_nothing", async () => {
    const { api, store, shown, intent } = await storeWith(json({}));
    api.reply(json(shown), page());
    await Promise.all([store.decide(intent), store.decide(intent)]);
    expect(api.calls.filter(({ path }) => path.endsWith("/decision"))).toHaveLength(1);
  });

  test("several_decisions_are_sent_one_by_one_with_an_outcome_each", async () => {
    const [one, two] = [escalation(), escalation()];
    const api = new FakeApi(page(one, two), json({}), json(one), page(one, two));
    const store = new InboxStore({ client: api.client() });
    await store.refresh();
    api.reply(problem(403, "step_up_required"), json(two), page(one, two));
    const intents = [one, two].map(({ id }) => ({
      escalationId: id,
      decision: "approve" as const,
      subjectHash: HASH,
    }));
    const outcomes = await store.decideAll(intents);
    expect(outcomes.map(({ state }) => state)).toEqual(["decided", "refused"]);
  });

  test("arrivals_are_those_after_the_first_reading", async () => {
    const { api, store, shown } = await storeWith();
    expect(store.state.arrivals).toEqual([]);
    const arrived = escalation();
    api.reply(page(shown, arrived));
    await store.refresh();
    expect(store.state.arrivals).toEqual([arrived.id]);
    store.acknowledgeArrivals();
    expect(store.state.arrivals).toEqual([]);
  });

  test("a_response_for_an_earlier_filter_is_ignored", async () => {
    let release = (_response: Response) => {};
    const slow = new Promise<Response>((resolve) => (release = resolve));
    const wanted = escalation();
    const api = new FakeApi(() => slow, page(wanted));
    const store = new InboxStore({ client: api.client() });
    const first = store.refresh();
    const second = store.setFilter({ risk: "high" });
    const shown: string[] = [];
    store.subscribe(({ escalations }) => shown.push(...escalations.map(({ id }) => id)));
    release(page(escalation()));
    await Promise.all([first, second]);
    expect(new Set(shown)).toEqual(new Set([wanted.id]));
    expect(api.calls[1]?.path).toContain("risk=high");
  });
});

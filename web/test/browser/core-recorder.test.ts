import { afterEach, describe, expect, test, vi } from "vitest";
import { chatkitHandlers, recordChatKit } from "../../src/core/chatkit.js";
import { EventRecorder, EventTooLargeError } from "../../src/core/recorder.js";
import { ChatSession } from "../../src/core/session.js";
import { FakeApi, json, OFFLINE, problem, SESSION_ID } from "./support.js";

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

  test.each([
    ["a payload of more than 16 KiB", "custom_x", { text: "é".repeat(8192) }],
    ["a payload of more than 256 KiB", "custom_x", { text: "x".repeat(300_000) }],
    ["values of a form of more than 16 KiB", "form_submit", { form: "f", values: "x".repeat(2e4) }],
  ])("an_event_with_%s_is_rejected_and_the_others_are_sent", async (_size, type, payload) => {
    const api = new FakeApi(recorded());
    const rejected: [string, unknown][] = [];
    const recorder = new EventRecorder({
      client: api.client(),
      sessionId: SESSION_ID,
      delay: 1e6,
      onRejected: ({ id }, error) => rejected.push([id, error]),
    });
    const [large, other] = [recorder.record(type, payload), recorder.record("custom_y", {})];
    await recorder.flush();
    expect(ids(api)).toEqual([[other]]);
    expect(recorder.pending).toBe(0);
    expect(rejected.map(([id]) => id)).toEqual([large]);
    const error = rejected[0]?.[1];
    expect(error).toBeInstanceOf(EventTooLargeError);
    expect((error as EventTooLargeError).bytes).toBeGreaterThan(16 * 1024);
    await recorder.close();
  });

  test("an_event_of_16_kib_is_sent_and_batches_have_at_most_256_kib", async () => {
    const api = new FakeApi(recorded(), recorded());
    const recorder = new EventRecorder({ client: api.client(), sessionId: SESSION_ID, delay: 1e6 });
    const empty = JSON.stringify({ text: "" }).length;
    const text = "x".repeat(16 * 1024 - empty);
    const expected = Array.from({ length: 20 }, () => recorder.record("custom_x", { text }));
    await recorder.flush();
    expect(ids(api).flat()).toEqual(expected);
    const sizes = api.calls.map((call) => new TextEncoder().encode(call.text).length);
    expect(sizes).toHaveLength(2);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(256 * 1024);
    await recorder.close();
  });

  test("a_payload_that_is_not_json_is_rejected", async () => {
    const api = new FakeApi(recorded());
    const rejected: string[] = [];
    const recorder = new EventRecorder({
      client: api.client(),
      sessionId: SESSION_ID,
      delay: 1e6,
      onRejected: ({ id }) => rejected.push(id),
    });
    const circular: Record<string, unknown> = {};
    circular["self"] = circular;
    const bad = [recorder.record("custom_x", circular), recorder.record("custom_y", { n: 1n })];
    const good = recorder.record("custom_z", {});
    await recorder.flush();
    expect(rejected).toEqual(bad);
    expect(ids(api)).toEqual([[good]]);
    await recorder.close();
  });

  test("a_listener_that_throws_does_not_hold_the_others_back", async () => {
    const api = new FakeApi(problem(422, "invalid_request"), recorded());
    const reported = vi.spyOn(globalThis, "reportError").mockReturnValue();
    const recorder = new EventRecorder({
      client: api.client(),
      sessionId: SESSION_ID,
      delay: 1e6,
      onRejected: () => {
        throw new Error("broken");
      },
    });
    recorder.record("custom_x", {});
    await recorder.flush();
    recorder.record("custom_y", {});
    await recorder.flush();
    expect(recorder.pending).toBe(0);
    expect(reported).toHaveBeenCalledOnce();
    await recorder.close();
  });

  test("a_payload_is_sent_as_it_was_recorded", async () => {
    const api = new FakeApi(recorded());
    const recorder = new EventRecorder({ client: api.client(), sessionId: SESSION_ID, delay: 1e6 });
    const payload = { values: { step: 1 } };
    recorder.record("custom_x", payload);
    payload.values.step = 2;
    await recorder.flush();
    expect(api.calls[0]?.body).toMatchObject([{ payload: { values: { step: 1 } } }]);
    await recorder.close();
  });
});

describe("recorder after a failure", () => {
  afterEach(() => vi.useRealTimers());

  const realTimeout = globalThis.setTimeout;

  /** Advances the clock, and lets the bodies of requests be read, which timers do not do. */
  async function advance(milliseconds: number): Promise<void> {
    await vi.advanceTimersByTimeAsync(milliseconds);
    await new Promise((resolve) => realTimeout(resolve, 30));
    await vi.advanceTimersByTimeAsync(0);
  }

  /** A recorder whose first request ends with `replies` while another event is recorded. */
  async function interrupted(...replies: ConstructorParameters<typeof FakeApi>) {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
    const api = new FakeApi();
    const recorder = new EventRecorder({ client: api.client(), sessionId: SESSION_ID });
    const [first, ...rest] = replies;
    api.reply(
      () => {
        recorder.record("custom_second", {});
        return first as Response;
      },
      ...rest,
    );
    api.reply(json({ events: [] }, { status: 201 }));
    recorder.record("custom_first", {});
    await advance(500);
    const sent = api.calls.length;
    return { api, recorder, sent, after: () => api.calls.length - sent };
  }

  test("it_waits_as_long_as_retry_after_states", async () => {
    const { recorder, sent, after } = await interrupted(problem(429, "rate_limited", {}, 90));
    expect(sent).toBe(1);
    recorder.record("custom_third", {});
    await recorder.flush();
    window.dispatchEvent(new Event("online"));
    await advance(88_000);
    expect(after()).toBe(0);
    await advance(2000);
    expect(after()).toBe(1);
    expect(recorder.pending).toBe(0);
    await recorder.close();
  });

  test("it_backs_off_while_events_are_recorded", async () => {
    const { recorder, sent, after } = await interrupted(OFFLINE, OFFLINE, OFFLINE, OFFLINE);
    expect(sent).toBe(2);
    await advance(1900);
    expect(after()).toBe(0);
    await advance(100);
    expect(after()).toBe(2);
    // The second pause is twice as long.
    await advance(3900);
    expect(after()).toBe(2);
    await advance(100);
    expect(after()).toBe(3);
    expect(recorder.pending).toBe(0);
    await recorder.close();
  });

  test("events_that_follow_a_success_are_sent_at_once", async () => {
    const { api, recorder } = await interrupted(OFFLINE, OFFLINE);
    await advance(2000);
    expect(recorder.pending).toBe(0);
    api.reply(json({ events: [] }, { status: 201 }));
    recorder.record("custom_third", {});
    await advance(500);
    expect(recorder.pending).toBe(0);
    await recorder.close();
  });
});

import { describe, expect, test, vi } from "vitest";
import { chatkitHandlers, recordChatKit } from "../../src/core/chatkit.js";
import { EventRecorder } from "../../src/core/recorder.js";
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
});

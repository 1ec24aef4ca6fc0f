import { afterEach, describe, expect, test, vi } from "vitest";
import { Poller } from "../../src/core/poller.js";
import { NoResponseError, ProblemError } from "../../src/core/problem.js";
import { sessionStore, transcriptStore } from "../../src/core/store.js";
import { message } from "../../gallery/fixtures.js";
import { FakeApi, json, problem, SESSION_ID } from "./support.js";

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

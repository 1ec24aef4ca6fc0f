import { describe, expect, test, vi } from "vitest";
import { InboxStore } from "../../src/core/inbox.js";
import { escalation, HASH, resolved } from "../../gallery/fixtures.js";
import { FakeApi, json, OFFLINE, problem } from "./support.js";

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
    read("pending");
    await store.select(shown.id);
    // It reads again by itself.
    await vi.waitFor(() => expect(api.calls).toHaveLength(4));
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

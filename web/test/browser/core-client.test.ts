import { describe, expect, test } from "vitest";
import { NoResponseError, ProblemError } from "../../src/core/problem.js";
import { FakeApi, json, OFFLINE, opened, problem } from "./support.js";

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

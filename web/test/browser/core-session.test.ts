import { afterEach, describe, expect, test, vi } from "vitest";
import { createChatFetch } from "../../src/core/chat-fetch.js";
import { connectChatKit } from "../../src/core/chatkit.js";
import { EventRecorder } from "../../src/core/recorder.js";
import { ChatSession, type ChatOptions } from "../../src/core/session.js";
import { FakeApi, json, opened, problem, SESSION_ID } from "./support.js";

const bodies = (api: FakeApi) => api.calls.map(({ body }) => body);

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

describe("handover to an agent with the other provider", () => {
  const selfHosted = (secret: string) =>
    opened(secret, SESSION_ID, {
      provider: "self_hosted",
      apiUrl: "https://chat.example.com/chatkit",
      domainKey: "domain_pk_1",
    });
  const hosted = async (secret: string) => {
    const body = (await opened(secret).json()) as object;
    return json({ ...body, agentId: "tax_compliance" });
  };
  const element = () => {
    const calls: unknown[] = [];
    return {
      calls,
      setOptions: ({ api }: ChatOptions) => calls.push(Object.keys(api)),
      setThreadId: (id: string | null) => Promise.resolve(void calls.push(id)),
    };
  };
  const SELF_HOSTED = ["url", "domainKey", "fetch"];

  test("chatkit_gets_the_options_of_the_new_provider_and_no_thread", async () => {
    const api = new FakeApi(selfHosted("cs_1"), () => hosted("ek_1"), selfHosted("cs_2"));
    const client = api.client();
    const session = new ChatSession({ client, agentId: "accounts_payable" });
    const recorder = new EventRecorder({ client });
    const chat = element();
    const end = await connectChatKit(chat, { session, recorder });
    expect(chat.calls).toEqual([SELF_HOSTED]);
    const read = (agentId: string, id = SESSION_ID) => session.observe({ id, agentId });
    await read("accounts_payable");
    await read("tax_compliance", "019aaa00-7c00-7000-8000-000000000002");
    expect(api.calls).toHaveLength(1);
    await read("tax_compliance");
    expect(bodies(api)[1]).toEqual({ sessionId: SESSION_ID, purpose: "resume" });
    expect(chat.calls.splice(0)).toEqual([SELF_HOSTED, ["getClientSecret"], null]);
    end();
    await read("accounts_payable");
    expect(api.calls).toHaveLength(3);
    expect(chat.calls).toEqual([]);
    session.close();
    await recorder.close();
  });

  test("a_new_secret_of_the_same_provider_changes_nothing", async () => {
    const api = new FakeApi(selfHosted("cs_1"), selfHosted("cs_2"));
    const session = new ChatSession({ client: api.client(), agentId: "accounts_payable" });
    const changed = vi.fn();
    session.addEventListener("provider-change", changed);
    await session.connect();
    expect(await session.getClientSecret("cs_1")).toBe("cs_2");
    expect(changed).not.toHaveBeenCalled();
    session.close();
  });

  test("another_tab_changes_over_as_well", async () => {
    const [first, second] = [new FakeApi(selfHosted("cs_1")), new FakeApi(selfHosted("cs_1"))];
    const options = { agentId: "accounts_payable", sessionId: SESSION_ID };
    const one = new ChatSession({ client: first.client(), ...options });
    const two = new ChatSession({ client: second.client(), ...options });
    await Promise.all([one.connect(), two.connect()]);
    first.reply(() => hosted("ek_1"));
    await one.observe({ id: SESSION_ID, agentId: "tax_compliance" });
    await vi.waitFor(() => expect(Object.keys(two.chatOptions.api)).toEqual(["getClientSecret"]));
    expect(second.calls).toHaveLength(1);
    one.close();
    two.close();
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

// The chat of the page: cards of held calls, and the change to an agent at OpenAI.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import "../../page/card.js";
import type { CardClick, PageCard } from "../../page/card.js";
import { Conversation } from "../../page/conversation.js";
import type { ChatItem, Widget } from "../../page/thread.js";
import type { SessionDetails } from "../../src/core/model.js";
import { $, FakeApi, json, mount, opened, problem, SESSION_ID, textOf } from "./support.js";

const HASH = "9f".repeat(32);

const field = (label: string, value: string): Widget => ({
  type: "Col",
  children: [
    { type: "Caption", value: label },
    { type: "Text", value },
  ],
});

const button = (label: string, type: string, streaming: boolean): Widget => ({
  type: "Button",
  label,
  style: type === "call.withdraw" ? "secondary" : "primary",
  onClickAction: { type, payload: { subjectHash: HASH }, streaming },
});

function card(status: string, icon: string, ...buttons: Widget[]): ChatItem {
  const children = [
    { type: "Title", value: "Confirmation of a call" },
    { type: "Text", value: "The requester confirms each call." },
    field("Tool", "pay_fee"),
    field("Amount", "15.00 EUR"),
    { type: "Divider" },
    field("Who decides", "You confirm or withdraw it."),
    { type: "Row", children: buttons },
  ];
  return {
    id: "msg_1",
    type: "widget",
    widget: { type: "Card", status: { text: status, icon }, children },
  };
}

const HELD = card(
  "Waits for a decision.",
  "user",
  button("Confirm", "call.confirm", false),
  button("Withdraw", "call.withdraw", false),
);
const RUNNING = card("Waits to be called.", "clock");
const ENDED = card("Done.", "check-circle", button("Continue", "call.continue", true));

describe("card", () => {
  const show = (properties: Partial<PageCard>) => mount<PageCard>("page-card", properties);
  const buttons = (element: PageCard) => [...element.renderRoot.querySelectorAll("button")];

  test("title_state_fields_and_buttons_are_shown", async () => {
    const { element } = await show({ item: HELD });
    const text = textOf(element);
    for (const part of ["Confirmation of a call", "Waits for a decision", "Amount 15.00 EUR"]) {
      expect(text).toContain(part);
    }
    expect(text).toContain("Who decides You confirm or withdraw it.");
    expect(buttons(element).map(({ innerText }) => innerText.trim())).toEqual([
      "Confirm",
      "Withdraw",
    ]);
  });

  test("a_click_names_the_item_and_its_action", async () => {
    const { element } = await show({ item: HELD });
    const clicks: CardClick[] = [];
    element.addEventListener("page-action", (event) =>
      clicks.push((event as CustomEvent<CardClick>).detail),
    );
    $(element, "button.primary").click();
    const action = { type: "call.confirm", payload: { subjectHash: HASH }, streaming: false };
    expect(clicks).toEqual([{ item: HELD, action }]);
  });

  test("markup_and_hidden_characters_are_text", async () => {
    const value = '<img src=x onerror="x()">\u202egnp.exe [a](https://foreign.example)';
    const children = [field("Supplier", value), { type: "Text", value }];
    const item = { id: "msg_1", type: "widget", widget: { type: "Card", children } };
    const { element } = await show({ item });
    expect(element.renderRoot.querySelector("img, a")).toBeNull();
    expect(textOf(element)).toContain('<img src=x onerror="x()">');
    expect(textOf(element)).not.toContain("\u202e");
  });

  test("an_answer_blocks_what_begins_another_one_but_no_decision", async () => {
    for (const [item, disabled] of [
      [HELD, false],
      [ENDED, true],
    ] as const) {
      const { element } = await show({ item, busy: true });
      expect(new Set(buttons(element).map((one) => one.disabled))).toEqual(new Set([disabled]));
    }
    const { element } = await show({ item: HELD, acting: "call.confirm" });
    expect(buttons(element).every((one) => one.disabled)).toBe(true);
  });
});

/** A chat of our own that answers each request with the next reply. */
class FakeChat {
  readonly requests: { type: string; params: Record<string, unknown> }[] = [];
  readonly #replies: (() => Response)[] = [];

  reply(...replies: (() => Response)[]): void {
    this.#replies.push(...replies);
  }

  readonly fetch: typeof fetch = (_input, init) => {
    this.requests.push(JSON.parse(init?.body as string) as FakeChat["requests"][number]);
    const reply = this.#replies.shift() ?? (() => new Response("{}", { status: 500 }));
    return Promise.resolve(reply());
  };
}

const stream = (...events: object[]) =>
  new Response(events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(""));
const list = (...items: ChatItem[]) => json({ data: [...items].reverse() });
const answer = {
  id: "msg_2",
  type: "assistant_message",
  content: [{ type: "text", text: "Paid." }],
};

describe("conversation", () => {
  let api: FakeApi;
  let chat: FakeChat;
  let conversation: Conversation;

  const selfHosted = (secret: string) =>
    opened(secret, SESSION_ID, {
      provider: "self_hosted",
      apiUrl: "https://chat.example.com/chatkit",
      domainKey: "domain_pk_1",
    });

  /** A conversation whose thread has these items. */
  async function resume(...items: ChatItem[]): Promise<void> {
    const threads = { available: true, threads: [{ id: "thr_1" }] };
    api = new FakeApi(json({ id: SESSION_ID, chatkit: threads }), selfHosted("cs_1"));
    // The secret for the chat's own requests.
    api.reply(selfHosted("cs_1"));
    chat.reply(() => list(...items));
    conversation = new Conversation(api.client(), "accounts_payable", SESSION_ID);
    await vi.waitFor(() => expect(conversation.state.items).toHaveLength(items.length));
    chat.requests.length = 0;
  }

  beforeEach(() => {
    chat = new FakeChat();
    vi.spyOn(globalThis, "fetch").mockImplementation(chat.fetch);
  });

  afterEach(() => {
    conversation.close();
    vi.restoreAllMocks();
  });

  const [confirm] = (HELD.widget?.children?.at(-1)?.children ?? []).map((one) => one.onClickAction);
  const act = () => conversation.act(HELD, confirm as NonNullable<typeof confirm>);

  test("a_decision_sends_the_action_and_shows_the_new_card", async () => {
    await resume(HELD);
    chat.reply(() => json({ updated_item: RUNNING }));
    const acting = act();
    expect(conversation.state.acting).toEqual({ itemId: "msg_1", type: "call.confirm" });
    // A second click sends nothing.
    await Promise.all([acting, act()]);
    expect(chat.requests).toEqual([
      {
        type: "threads.sync_custom_action",
        params: {
          thread_id: "thr_1",
          item_id: "msg_1",
          action: { type: "call.confirm", payload: { subjectHash: HASH } },
        },
        metadata: {},
      },
    ]);
    expect(conversation.state).toMatchObject({ items: [RUNNING], acting: undefined });
  });

  test("a_decision_that_fails_can_be_made_again", async () => {
    await resume(HELD);
    chat.reply(() => problem(503, "supabase_unavailable"));
    await act();
    expect(conversation.state).toMatchObject({ items: [HELD], acting: undefined });
    expect(conversation.state.error).toMatchObject({ code: "supabase_unavailable" });
    chat.reply(() => json({ updated_item: RUNNING }));
    await act();
    expect(conversation.state).toMatchObject({ items: [RUNNING], error: undefined });
  });

  test("a_card_is_not_busy_after_an_answer_that_cannot_be_read", async () => {
    await resume(HELD);
    const go = { type: "call.continue", payload: {}, streaming: true };
    chat.reply(
      () => new Response(null, { status: 422 }),
      () => new Response("{"),
    );
    await conversation.act(HELD, go);
    expect(conversation.state).toMatchObject({ acting: undefined, activity: "idle" });
  });

  test("an_ended_call_is_continued_once_and_its_stream_redraws_the_card", async () => {
    const gone = card("Done.", "check-circle");
    await resume(HELD);
    chat.reply(
      () => list(ENDED),
      () =>
        stream(
          { type: "thread.item.replaced", item: gone },
          { type: "thread.item.done", item: answer },
        ),
      () => list(gone, answer),
    );
    await conversation.reload();
    await vi.waitFor(() => expect(chat.requests).toHaveLength(3));
    expect(chat.requests[1]).toMatchObject({
      type: "threads.custom_action",
      params: { item_id: "msg_1", action: { type: "call.continue" } },
    });
    await vi.waitFor(() => expect(conversation.state.activity).toBe("idle"));
    expect(conversation.state.items).toEqual([gone, answer]);
    // The card still offers it if another device reads it too early.
    chat.reply(() => list(ENDED, answer));
    await conversation.reload();
    expect(chat.requests).toHaveLength(4);
    expect(conversation.state.activity).toBe("idle");
  });

  test("a_handover_to_an_agent_at_openai_and_back_changes_the_chat_over", async () => {
    await resume(answer);
    const details = (agentId: string) => ({ id: SESSION_ID, agentId }) as SessionDetails;
    const hosted = (await opened("ek_1").json()) as object;
    api.reply(json({ ...hosted, agentId: "tax_compliance" }));
    await conversation.observe(details("tax_compliance"));
    expect(conversation.isSelfHosted).toBe(false);
    expect(conversation.state.session?.chatkit).toMatchObject({ clientSecret: "ek_1" });
    await conversation.reload();
    expect(chat.requests).toEqual([]);

    api.reply(selfHosted("cs_2"), selfHosted("cs_3"), selfHosted("cs_3"));
    chat.reply(() => list(answer, { ...answer, id: "msg_3" }));
    await conversation.observe(details("accounts_payable"));
    expect(conversation.isSelfHosted).toBe(true);
    expect(conversation.state.items).toHaveLength(2);
  });
});

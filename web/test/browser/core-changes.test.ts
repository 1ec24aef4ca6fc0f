import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ChangeFeed } from "../../src/core/changes.js";
import type { ApiClient, Conditional, ReadOptions } from "../../src/core/client.js";
import { InboxStore } from "../../src/core/inbox.js";
import type { Change, Changes } from "../../src/core/model.js";
import type { Wake } from "../../src/core/poller.js";
import { NoResponseError, ProblemError } from "../../src/core/problem.js";
import { sessionListStore, sessionStore, transcriptStore } from "../../src/core/store.js";
import { escalation, message, resolved } from "../../gallery/fixtures.js";
import { SESSION_ID } from "./support.js";

const OTHER_ID = "019aaa00-7c00-7000-8000-000000000002";
const INTERVAL = 1000;

const ofSession = (sessionId: string): Change => ({
  kind: "session",
  sessionId,
  status: "active",
  lastEventSeq: 1,
  lastMessageSeq: 1,
});
const ofEscalation = (sessionId: string): Change => ({
  kind: "escalation",
  escalationId: "019aaa00-7c00-7000-8000-0000000000e1",
  sessionId,
  status: "open",
});

type Query = { since?: string; scope?: string };

/** An API whose feed returns what a test has set, and whose lists count their reads. */
class Server {
  readonly polls: (Query & { etag: string | null | undefined })[] = [];
  readonly reads: string[] = [];
  selected = escalation();
  readonly #next: (Partial<Changes> | Error)[] = [];
  #cursor = 0;

  constructor(private readonly name = "c") {}

  /** Answers the next polls. Later ones find nothing new. */
  next(...answers: (Partial<Changes> | Error)[]): void {
    this.#next.push(...answers);
  }

  /** Forgets what happened, and returns the lists that were read. */
  take(): string[] {
    this.polls.length = 0;
    return this.reads.splice(0).sort();
  }

  client(): ApiClient {
    const read = <T>(name: string, data: T): Promise<Conditional<T>> => {
      this.reads.push(name);
      return Promise.resolve({ changed: true, data, etag: null });
    };
    return {
      listChanges: (query: Query, { etag }: ReadOptions) => this.#poll(query, etag),
      getSession: (id: string) => read(`session ${id}`, { id }),
      listSessions: () => read("sessions", { sessions: [] }),
      listEscalations: () => read("escalations", { escalations: [], nextCursor: null }),
      getEscalation: () => read("escalation", this.selected),
      listMessages: () =>
        read("messages", { messages: [message(1, "user", "m")], nextCursor: null }),
    } as unknown as ApiClient;
  }

  #poll(query: Query, etag: string | null | undefined): Promise<Conditional<Changes>> {
    this.polls.push({ ...query, etag });
    const answer = this.#next.shift();
    if (answer instanceof Error) return Promise.reject(answer);
    if (!answer && etag === `"${query.since}"`) return Promise.resolve({ changed: false });
    const isLater = answer !== undefined || query.since === undefined;
    const cursor = isLater ? `${this.name}${++this.#cursor}` : String(query.since);
    const data: Changes = {
      changes: [],
      incomplete: query.since === undefined,
      counts: null,
      cursor,
      ...answer,
    };
    return Promise.resolve({ changed: true, data, etag: `"${cursor}"` });
  }
}

/** The stores of a page, which follow one feed. */
class Tab {
  readonly inbox: InboxStore;
  readonly feed: ChangeFeed;
  readonly #stores: { start(): unknown; stop(): void }[];

  constructor(
    readonly server: Server,
    name?: string,
  ) {
    const client = server.client();
    const tabs = name === undefined ? {} : { tabs: name };
    const feed = (this.feed = new ChangeFeed({ client, interval: INTERVAL, ...tabs }));
    const options = { feed, interval: INTERVAL };
    const filter = { sessionId: SESSION_ID };
    this.inbox = new InboxStore({ client, filter, ...options });
    this.#stores = [
      sessionStore(client, SESSION_ID, options),
      sessionListStore(client, {}, options),
      transcriptStore(client, SESSION_ID, options),
      this.inbox,
    ];
  }

  /** Starts the stores. The first poll without a cursor is over when it returns. */
  async start(): Promise<this> {
    this.#stores.forEach((store) => store.start());
    await pass(0);
    expect(this.server.take()).toEqual(ALL);
    await pass(INTERVAL);
    return this;
  }

  stop(): void {
    this.#stores.forEach((store) => store.stop());
  }
}

const ALL = ["escalations", "messages", `session ${SESSION_ID}`, "sessions"];
const pass = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds);

describe("change feed", () => {
  const tabs: Tab[] = [];
  const open = async (server: Server, name?: string) => {
    const tab = new Tab(server, name);
    tabs.push(tab);
    return tab.start();
  };

  beforeEach(() => {
    vi.useFakeTimers();
    // Without jitter.
    vi.spyOn(Math, "random").mockReturnValue(0.5);
  });

  afterEach(() => {
    tabs.splice(0).forEach((tab) => tab.stop());
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  test("one_poll_replaces_the_polls_of_all_stores", async () => {
    const server = new Server();
    await open(server);
    // The first response has no cursor to compare with, so the stores read once.
    expect(server.polls).toEqual([{ scope: "own", etag: null }]);
    expect(server.take()).toEqual(ALL);
    await pass(10 * INTERVAL);
    expect(server.polls).toHaveLength(10);
    expect(new Set(server.polls.map(({ since }) => since))).toEqual(new Set(["c1"]));
    expect(server.polls[9]?.etag).toBe('"c1"');
    expect(server.take()).toEqual([]);
  });

  test.each([
    ["the session", [ofSession(SESSION_ID)], ["messages", `session ${SESSION_ID}`, "sessions"]],
    ["another session", [ofSession(OTHER_ID)], ["sessions"]],
    [
      "an escalation",
      [ofEscalation(SESSION_ID)],
      ["escalations", "messages", `session ${SESSION_ID}`],
    ],
    ["an escalation of another session", [ofEscalation(OTHER_ID)], []],
    ["both", [ofSession(OTHER_ID), ofEscalation(SESSION_ID)], ALL],
  ])("a_change_of_%s_is_read_by_its_stores_only", async (_, changes, expected) => {
    const server = new Server();
    await open(server);
    server.take();
    server.next({ changes });
    await pass(INTERVAL);
    expect(server.polls.map(({ since }) => since)).toEqual(["c1"]);
    expect(server.take()).toEqual(expected);
    await pass(INTERVAL);
    expect(server.polls.map(({ since }) => since)).toEqual(["c2"]);
    expect(server.take()).toEqual([]);
  });

  test.each([
    ["is_rejected", new ProblemError(400, { code: "malformed_cursor" })],
    ["is_of_another_database", { incomplete: true }],
  ])("after_a_cursor_that_%s_all_stores_read_once", async (_, answer) => {
    const server = new Server();
    await open(server);
    server.take();
    server.next(answer);
    await pass(INTERVAL);
    expect(server.take()).toEqual(ALL);
    await pass(3 * INTERVAL);
    expect(server.polls).toHaveLength(3);
    expect(server.polls[0]?.since).toBe("c2");
    expect(server.take()).toEqual([]);
  });

  test("stores_read_for_themselves_while_the_feed_fails", async () => {
    const server = new Server();
    await open(server);
    server.take();
    server.next(new NoResponseError(undefined), new ProblemError(503, {}, 30));
    await pass(INTERVAL);
    expect(server.take()).toEqual(ALL);
    // The second failure follows after twice the interval, and names a pause.
    await pass(2 * INTERVAL);
    expect(server.take()).toEqual(ALL);
    await pass(29_000);
    expect(server.polls).toEqual([]);
    await pass(1000);
    expect(server.polls.map(({ since }) => since)).toEqual(["c1"]);
    expect(server.take()).toEqual([]);
  });

  test("a_store_reads_every_five_minutes_without_changes", async () => {
    const server = new Server();
    await open(server);
    server.take();
    await pass(299_000 - INTERVAL);
    expect(server.take()).toEqual([]);
    await pass(INTERVAL + 1000);
    expect(server.take()).toEqual(ALL);
  });

  test("a_hidden_page_does_not_poll_and_reads_what_changed_when_it_is_shown", async () => {
    const server = new Server();
    await open(server);
    server.take();
    const hidden = vi.spyOn(document, "hidden", "get").mockReturnValue(true);
    await pass(60_000);
    expect(server.polls.length).toBeLessThanOrEqual(1);
    expect(server.take()).toEqual([]);
    server.next({ changes: [ofEscalation(SESSION_ID)] });
    hidden.mockReturnValue(false);
    document.dispatchEvent(new Event("visibilitychange"));
    await pass(0);
    expect(server.polls).toHaveLength(1);
    expect(server.take()).toEqual(["escalations", "messages", `session ${SESSION_ID}`]);
  });

  test("a_store_that_is_woken_while_the_page_is_hidden_reads_when_it_is_shown", async () => {
    const server = new Server();
    let wake: Wake = () => {};
    const feed = { follow: (woken: Wake) => ((wake = woken), () => {}) };
    const store = sessionStore(server.client(), SESSION_ID, { feed }).start();
    await pass(0);
    server.take();
    const hidden = vi.spyOn(document, "hidden", "get").mockReturnValue(true);
    wake([ofSession(SESSION_ID)]);
    await pass(60_000);
    expect(server.take()).toEqual([]);
    hidden.mockReturnValue(false);
    document.dispatchEvent(new Event("visibilitychange"));
    await pass(0);
    expect(server.take()).toEqual([`session ${SESSION_ID}`]);
    store.stop();
  });

  test("a_decided_escalation_is_read_until_its_call_is_made", async () => {
    const server = new Server();
    const { inbox } = await open(server);
    const withDelivery = (status: "pending" | "done") => {
      const delivery = { id: server.selected.id, status, error: null };
      server.selected = resolved("approve", { id: server.selected.id, delivery });
    };
    withDelivery("pending");
    server.take();
    await inbox.select(server.selected.id);
    await pass(2 * INTERVAL);
    expect(server.take().filter((read) => read === "escalation").length).toBeGreaterThanOrEqual(3);
    withDelivery("done");
    await pass(INTERVAL);
    expect(inbox.state.selected?.delivery?.status).toBe("done");
    server.take();
    await pass(10 * INTERVAL);
    expect(server.take()).toEqual([]);
  });

  test("a_feed_without_followers_does_not_poll_and_can_be_followed_again", async () => {
    const server = new Server();
    const tab = await open(server);
    server.take();
    tab.stop();
    await pass(10 * INTERVAL);
    expect(server.polls).toEqual([]);
    const wake = vi.fn();
    const end = tab.feed.follow(wake);
    server.next({ changes: [ofSession(OTHER_ID)] });
    await pass(INTERVAL);
    expect(wake.mock.calls).toEqual([[[ofSession(OTHER_ID)]]]);
    end();
    end();
  });

  describe("of several tabs", () => {
    /** Passes time in steps, so that each message arrives before the next poll. */
    async function passWithMessages(milliseconds: number): Promise<void> {
      for (let passed = 0; passed < milliseconds; passed += INTERVAL / 10) {
        await pass(INTERVAL / 10);
        await roundTrip();
      }
      await pass(0);
    }

    const openTwo = async () => {
      const [one, two] = [new Server("a"), new Server("b")] as const;
      const first = await open(one, "user");
      const second = new Tab(two, "user");
      tabs.push(second);
      second.start().catch(() => {});
      await passWithMessages(2 * INTERVAL);
      one.take();
      two.take();
      return { one, two, first };
    };

    test("one_poll_and_its_changes_are_shared", async () => {
      const { one, two } = await openTwo();
      await passWithMessages(10 * INTERVAL);
      expect(one.polls.length + two.polls.length).toBeGreaterThanOrEqual(9);
      // Without sharing they are 20. A message that arrives late costs a poll of the other tab.
      expect(one.polls.length + two.polls.length).toBeLessThanOrEqual(15);
      // A new tab continues from the cursor of the others, which therefore do not read again.
      const since = [...one.polls, ...two.polls].map((poll) => poll.since);
      expect(new Set(since)).toEqual(new Set(["a1"]));
      const polling = one.polls.length > two.polls.length ? one : two;
      expect([...one.take(), ...two.take()]).toEqual([]);
      polling.next({ changes: [ofEscalation(SESSION_ID)] });
      await passWithMessages(1.5 * INTERVAL);
      const expected = ["escalations", "messages", `session ${SESSION_ID}`];
      expect(one.take()).toEqual(expected);
      expect(two.take()).toEqual(expected);
    });

    test("another_tab_takes_over_when_one_closes", async () => {
      const { one, two, first } = await openTwo();
      first.stop();
      await passWithMessages(3 * INTERVAL);
      expect(one.polls).toEqual([]);
      expect(two.polls.length).toBeGreaterThanOrEqual(2);
      expect(two.polls[0]?.since).toBe("a1");
      expect(two.take()).toEqual([]);
    });

    test("tabs_of_different_users_share_nothing", async () => {
      const [one, two] = [new Server("a"), new Server("b")];
      await open(one, "user");
      await open(two, "another user");
      one.take();
      two.take();
      one.next({ changes: [ofEscalation(SESSION_ID)] });
      await passWithMessages(3 * INTERVAL);
      expect(new Set(two.polls.map(({ since }) => since))).toEqual(new Set(["b1"]));
      expect(two.take()).toEqual([]);
      expect(one.take()).not.toEqual([]);
    });

    test("a_tab_from_the_cache_of_the_browser_reads_again", async () => {
      const server = new Server();
      await open(server, "user");
      server.take();
      window.dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
      await passWithMessages(INTERVAL);
      expect(server.polls[0]?.since).toBeUndefined();
      expect(server.take()).toEqual(ALL);
    });
  });
});

/**
 * Waits until messages that were sent have arrived. The browser orders the messages of one channel
 * only, so one on a busy machine may overtake another: several go there one after the other.
 */
async function roundTrip(): Promise<void> {
  const [from, to] = [new BroadcastChannel("round-trip"), new BroadcastChannel("round-trip")];
  for (let trip = 0; trip < 4; trip += 1) {
    await new Promise<void>((resolve) => {
      to.onmessage = () => resolve();
      from.postMessage(null);
    });
  }
  from.close();
  to.close();
}

// What the server of `cargo dev` knows: the users, and what the agent has really done.

import { ChangeFeed } from "../src/core/changes.js";
import { ApiClient } from "../src/core/client.js";
import type { FeedOptions, PollerOptions } from "../src/core/poller.js";
import { ResourceStore } from "../src/core/store.js";

export type PersonKey = "clerk" | "approver" | "second_approver" | "operator";

export interface Person {
  key: PersonKey;
  id: string;
  name: string;
  /** An access token. Only the server of this page has it, and only on this machine. */
  token: string;
}

export interface LocalConfig {
  apiUrl: string;
  people: Person[];
}

/** Something that the agent has executed. */
export interface Action {
  key: string;
  kind: string;
  data: { invoice: string; amount: number };
}

/** A stack on this machine can be asked more often than a deployment. */
export const POLLING: PollerOptions = { interval: 2000 };

export async function readConfig(): Promise<LocalConfig> {
  const response = await fetch("/local/config");
  if (!response.ok) throw new Error("The server of this page does not respond.");
  return (await response.json()) as LocalConfig;
}

export function clientOf({ apiUrl }: LocalConfig, { token }: Person): ApiClient {
  return new ApiClient({ baseUrl: apiUrl, getAccessToken: () => Promise.resolve(token) });
}

/** Options of a person's stores: one poll of the change feed wakes them, in all tabs. */
export function following(client: ApiClient, { id }: Person): FeedOptions {
  return { ...POLLING, feed: new ChangeFeed({ client, tabs: id, ...POLLING }) };
}

/** What the agent has executed, as the agent itself says it. */
export function actionStore(): ResourceStore<Action[]> {
  return new ResourceStore<Action[]>(async ({ signal }) => {
    const response = await fetch("/local/actions", signal ? { signal } : {});
    if (!response.ok) throw new Error("The server of this page does not respond.");
    const { actions } = (await response.json()) as { actions: Action[] };
    return { changed: true, data: actions, etag: null };
  }, POLLING);
}

/** Kills the processes of a function, also in the middle of a request. */
export async function killFunction(name: string): Promise<void> {
  await fetch("/local/kill", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ function: name }),
  });
}

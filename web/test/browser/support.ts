// Doubles of the API, and helpers for elements.

import { ApiClient } from "../../src/core/client.js";
import type { CksElement } from "../../src/elements/element.js";
import { AGENTS, APPROVER, NOW } from "../../gallery/fixtures.js";

export interface Call {
  method: string;
  path: string;
  headers: Headers;
  body: unknown;
  text: string;
}

type Reply = Response | Error | (() => Response | Error | Promise<Response | Error>);

/** An API that answers each request with the next reply, and records the requests. */
export class FakeApi {
  readonly calls: Call[] = [];
  readonly waits: number[] = [];
  readonly tokens: boolean[] = [];
  #replies: Reply[];

  constructor(...replies: Reply[]) {
    this.#replies = replies;
  }

  reply(...replies: Reply[]): void {
    this.#replies.push(...replies);
  }

  readonly fetch = async (request: Request): Promise<Response> => {
    const url = new URL(request.url);
    const text = await request.text();
    const body: unknown = text ? JSON.parse(text) : undefined;
    const path = url.pathname + url.search;
    this.calls.push({ method: request.method, path, headers: request.headers, body, text });
    const reply = this.#replies.shift() ?? new Response("{}", { status: 500 });
    const answer = typeof reply === "function" ? await reply() : reply;
    if (answer instanceof Error) throw answer;
    return answer;
  };

  client(): ApiClient {
    return new ApiClient({
      baseUrl: "https://api.example.com",
      getAccessToken: (fresh) => {
        this.tokens.push(fresh);
        return Promise.resolve(fresh ? "new-token" : "token");
      },
      fetch: this.fetch,
      sleep: (milliseconds) => {
        this.waits.push(milliseconds);
        return Promise.resolve();
      },
    });
  }
}

export function json(body: unknown, init: ResponseInit = {}): Response {
  return new Response(typeof body === "string" ? body : JSON.stringify(body), {
    status: 200,
    ...init,
    headers: { "Content-Type": "application/json", ...init.headers },
  });
}

export function problem(status: number, code: string, rest: object = {}, retryAfter?: number) {
  const headers: Record<string, string> = { "Content-Type": "application/problem+json" };
  if (retryAfter !== undefined) headers["Retry-After"] = String(retryAfter);
  return new Response(JSON.stringify({ status, code, title: code, ...rest }), { status, headers });
}

export const SESSION_ID = "019aaa00-7c00-7000-8000-000000000001";

/** An opened session, with a client secret. */
export function opened(secret: string, id = SESSION_ID, rest: object = {}): Response {
  return json({
    id,
    status: "active",
    agentId: "accounts_payable",
    chatkit: { provider: "openai_hosted", clientSecret: secret, ...rest },
  });
}

export const OFFLINE = new TypeError("Failed to fetch");

/** Shows an element. Its events are recorded. */
export async function mount<T extends CksElement>(
  tag: string,
  properties: Partial<T>,
): Promise<{ element: T; events: CustomEvent[] }> {
  document.body.replaceChildren();
  const element = document.createElement(tag) as T;
  const common = { now: NOW, timeZone: "Europe/Berlin", agents: AGENTS, userId: APPROVER };
  Object.assign(element, common, properties);
  const events: CustomEvent[] = [];
  for (const type of ["decide", "decide-all", "select", "claim", "release", "filter", "change"]) {
    element.addEventListener(`cks-${type}`, (event) => events.push(event as CustomEvent));
  }
  document.body.append(element);
  await element.updateComplete;
  return { element, events };
}

/** The element that has the focus, also in shadow roots. */
export function focused(): Element | null {
  let { activeElement } = document;
  while (activeElement?.shadowRoot?.activeElement) {
    ({ activeElement } = activeElement.shadowRoot);
  }
  return activeElement;
}

export function $<T extends HTMLElement>(element: CksElement, selector: string): T {
  const found = element.renderRoot.querySelector<T>(selector);
  if (!found) throw new Error(`${element.localName} does not have ${selector}.`);
  return found;
}

/** The text that a reader sees. */
export function textOf(element: CksElement): string {
  return ($(element, "article, section").innerText ?? "").replace(/\s+/g, " ");
}

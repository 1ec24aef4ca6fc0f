// Typed requests to the API, with the user's token, retries and typed errors.

import type { operations, paths } from "../api.js";
import { parseJson, stringifyJson } from "./json.js";
import type * as Model from "./model.js";
import { NoResponseError, ProblemError } from "./problem.js";

export interface ApiClientOptions {
  /** The URL of the API, without a slash at its end. */
  baseUrl: string;
  /** Returns the user's access token. If `fresh` is true, the token must be a new one. */
  getAccessToken: (fresh: boolean) => Promise<string>;
  /** Default: `fetch` of the page. */
  fetch?: (request: Request) => Promise<Response>;
  /** Waits between attempts. Default: `setTimeout`. */
  sleep?: (milliseconds: number) => Promise<void>;
}

export interface RequestOptions {
  /** Default: 4. A poller sends each request once. */
  attempts?: number;
  /** Lets a request of a page that closes continue. */
  keepalive?: boolean;
  signal?: AbortSignal;
  /** Default: a new key. Send the same key with a retry. */
  idempotencyKey?: string;
}

/** A response that states whether it changed since `etag`. */
export type Conditional<T> = { changed: true; data: T; etag: string | null } | { changed: false };

type Json<Operation extends keyof operations> = operations[Operation]["responses"] extends {
  200: { content: { "application/json": infer Body } };
}
  ? Body
  : never;

/** A path of the API, with an id in it. */
type Path = WithId<keyof paths>;
type WithId<P> = P extends `${infer Start}{id}${infer End}` ? `${Start}${string}${End}` : P;

const to = encodeURIComponent;

/** A request before it has a token. */
interface Draft {
  url: string;
  init: RequestInit;
  headers: Record<string, string>;
}

/** The longest time to wait before a retry. A longer `Retry-After` ends the attempts. */
const LONGEST_WAIT_SECONDS = 30;

export class ApiClient {
  readonly #options: ApiClientOptions;

  constructor(options: ApiClientOptions) {
    this.#options = options;
  }

  get baseUrl(): string {
    return this.#options.baseUrl;
  }

  openSession(open: OpenSession, options: RequestOptions = {}): Promise<Model.OpenedSession> {
    return this.#writeOnce("/chatkit/sessions", open, options);
  }

  listSessions(query: Model.Query<"list-sessions"> = {}, options: ReadOptions = {}) {
    return this.#read<"list-sessions">("/chatkit/sessions", options, query);
  }

  /** Reads a session without its threads, which are charged. */
  getSession(id: string, options: ReadOptions & { include?: "none" | "threads" } = {}) {
    const query = { include: options.include ?? "none" };
    return this.#read<"get-session">(`/chatkit/sessions/${to(id)}`, options, query);
  }

  cancelSession(id: string, options: RequestOptions = {}): Promise<Json<"cancel-session">> {
    return this.#write(`/chatkit/sessions/${to(id)}/cancel`, undefined, options);
  }

  /** Stops the answers that a self-hosted agent is writing. */
  stopResponse(id: string, options: RequestOptions = {}): Promise<Json<"stop-response">> {
    return this.#write(`/chatkit/sessions/${to(id)}/stop`, undefined, options);
  }

  /** Records events. Their ids make a retry safe. */
  recordEvents(
    id: string,
    events: Model.SubmittedEvent[],
    options: RequestOptions = {},
  ): Promise<{ events: Model.RecordedEvent[] }> {
    return this.#write(`/chatkit/sessions/${to(id)}/events`, events, options);
  }

  listMessages(id: string, query: Model.Query<"list-messages"> = {}, options: ReadOptions = {}) {
    return this.#read<"list-messages">(`/chatkit/sessions/${to(id)}/messages`, options, query);
  }

  listAgents(options: ReadOptions = {}) {
    return this.#read<"list-agents">("/chatkit/agents", options);
  }

  /** Lists what changed since the cursor of an earlier response. */
  listChanges(query: Model.Query<"list-changes"> = {}, options: ReadOptions = {}) {
    return this.#read<"list-changes">("/chatkit/changes", options, query);
  }

  listEscalations(query: Model.Query<"list-escalations"> = {}, options: ReadOptions = {}) {
    return this.#read<"list-escalations">("/chatkit/escalations", options, query);
  }

  getEscalation(id: string, options: ReadOptions = {}) {
    return this.#read<"get-escalation">(`/chatkit/escalations/${to(id)}`, options);
  }

  /** Claims an escalation for some time. A decision does not need a claim. */
  claimEscalation(
    id: string,
    { seconds, ...options }: RequestOptions & { seconds?: number } = {},
  ): Promise<Model.Escalation> {
    const body = seconds === undefined ? {} : { seconds };
    return this.#write(`/chatkit/escalations/${to(id)}/claim`, body, options);
  }

  releaseEscalation(id: string, options: RequestOptions = {}): Promise<Model.Escalation> {
    return this.#write(`/chatkit/escalations/${to(id)}/release`, undefined, options);
  }

  decideEscalation(
    { escalationId, ...body }: Model.DecisionIntent,
    options: RequestOptions = {},
  ): Promise<Json<"decide-escalation">> {
    return this.#writeOnce(`/chatkit/escalations/${to(escalationId)}/decision`, body, options);
  }

  getMetrics(query: Model.Query<"get-metrics"> = {}, options: ReadOptions = {}) {
    return this.#read<"get-metrics">("/chatkit/metrics", options, query);
  }

  async #read<Operation extends keyof operations>(
    path: Path,
    { etag, ...options }: ReadOptions,
    query: object = {},
  ): Promise<Conditional<Json<Operation>>> {
    const draft = this.#draft("GET", path + queryOf(query), options);
    if (etag) draft.headers["If-None-Match"] = etag;
    const response = await this.#send(draft, options);
    if (response.status === 304) return { changed: false };
    const data = (await bodyOf(response)) as Json<Operation>;
    return { changed: true, data, etag: response.headers.get("ETag") };
  }

  /** Sends a request that the API processes once, however often it is repeated. */
  #writeOnce<T>(path: Path, body: unknown, options: RequestOptions): Promise<T> {
    const key = options.idempotencyKey ?? crypto.randomUUID();
    return this.#write(path, body, options, { "Idempotency-Key": key });
  }

  async #write<T>(
    path: Path,
    body: unknown,
    options: RequestOptions,
    headers: Record<string, string> = {},
  ): Promise<T> {
    const draft = this.#draft("POST", path, options, headers);
    if (body !== undefined) {
      draft.init.body = stringifyJson(body);
      headers["Content-Type"] = "application/json";
    }
    return (await bodyOf(await this.#send(draft, options))) as T;
  }

  #draft(
    method: string,
    path: string,
    { signal, keepalive }: RequestOptions,
    headers: Record<string, string> = {},
  ): Draft {
    // The browser would keep amounts in its cache.
    const init: RequestInit = { method, cache: "no-store", keepalive: keepalive === true };
    if (signal) init.signal = signal;
    return { url: this.baseUrl.replace(/\/$/, "") + path, init, headers };
  }

  /** Sends a request until a response arrives that is not temporary. */
  async #send(draft: Draft, { attempts = 4, signal }: RequestOptions): Promise<Response> {
    const { url, init, headers } = draft;
    const { getAccessToken, fetch: send = (input: Request) => fetch(input) } = this.#options;
    let fresh = false;
    for (let attempt = 1; ; attempt++) {
      const Authorization = `Bearer ${await getAccessToken(fresh)}`;
      const request = new Request(url, { ...init, headers: { ...headers, Authorization } });
      const response = await send(request).catch((error: unknown) => {
        signal?.throwIfAborted();
        return new NoResponseError(error);
      });
      const isLast = attempt >= attempts;
      let seconds = 2 ** (attempt - 1);
      if (response instanceof NoResponseError) {
        if (isLast) throw response;
      } else {
        if (response.ok || response.status === 304) return response;
        const problem = await problemOf(response);
        if (problem.code === "expired_token" && !fresh) {
          fresh = true;
          continue;
        }
        if (isLast || !problem.isTemporary) throw problem;
        seconds = Math.max(seconds, problem.retryAfter ?? 0);
        if (seconds > LONGEST_WAIT_SECONDS) throw problem;
      }
      fresh = false;
      await this.#sleep(1000 * seconds * (1 + Math.random() / 4));
    }
  }

  #sleep(milliseconds: number): Promise<void> {
    const { sleep } = this.#options;
    if (sleep) return sleep(milliseconds);
    return new Promise((resolve) => setTimeout(resolve, milliseconds));
  }
}

export type ReadOptions = RequestOptions & { etag?: string | null };

/** A new session, or a client secret for an open one. */
export type OpenSession =
  | { agentId: string; channel?: "web" | "voice"; metadata?: Record<string, unknown> }
  | { sessionId: string; purpose: "resume" | "refresh"; agentId?: string; rejected?: boolean };

type Parameter = string | number | boolean;

/** A query string. The API reads the values of a list from one parameter, separated by commas. */
function queryOf(query: object): string {
  const values = Object.entries(query as Record<string, Parameter | Parameter[] | null>);
  const text = values
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => `${name}=${[value ?? ""].flat().map(to).join(",")}`)
    .join("&");
  return text && `?${text}`;
}

/** The body of a response. One that breaks off or is not JSON is no response. */
async function bodyOf(response: Response): Promise<unknown> {
  try {
    return parseJson(await response.text());
  } catch (cause) {
    throw new NoResponseError(cause);
  }
}

async function problemOf(response: Response): Promise<ProblemError> {
  const body: unknown = await response.json().catch(() => null);
  const problem = body !== null && typeof body === "object" ? body : {};
  return new ProblemError(response.status, problem, secondsOf(response.headers.get("Retry-After")));
}

/** The seconds of a `Retry-After`, which may also be a date. */
function secondsOf(header: string | null): number | null {
  if (!header) return null;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null;
}

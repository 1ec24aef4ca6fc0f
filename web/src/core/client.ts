// Typed requests to the API, with the user's token, retries and typed errors.

import createFetchClient, { type Client } from "openapi-fetch";
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

type Send = (request: Request) => Promise<Response>;
type Json<Operation extends keyof operations> = operations[Operation]["responses"] extends {
  200: { content: { "application/json": infer Body } };
}
  ? Body
  : never;

/** The longest time to wait before a retry. A longer `Retry-After` ends the attempts. */
const LONGEST_WAIT_SECONDS = 30;

export class ApiClient {
  readonly #options: ApiClientOptions;
  readonly #api: Client<paths>;

  constructor(options: ApiClientOptions) {
    this.#options = options;
    this.#api = createFetchClient<paths>({
      baseUrl: options.baseUrl,
      bodySerializer: stringifyJson,
      // The API reads the values of a list from one parameter, separated by commas.
      querySerializer: { array: { style: "form", explode: false } },
    });
  }

  get baseUrl(): string {
    return this.#options.baseUrl;
  }

  openSession(open: OpenSession, options: RequestOptions = {}): Promise<Model.OpenedSession> {
    // openapi-fetch's type of the body forbids the fields of the other variant.
    const init = { body: open as never, ...this.#writing(options) };
    return this.#json(this.#api.POST("/chatkit/sessions", init)) as Promise<Model.OpenedSession>;
  }

  listSessions(query: Model.Query<"list-sessions"> = {}, options: ReadOptions = {}) {
    return this.#read<"list-sessions">(
      this.#api.GET("/chatkit/sessions", { params: { query }, ...this.#reading(options) }),
    );
  }

  /** Reads a session without its threads, which are charged. */
  getSession(id: string, options: ReadOptions & { include?: "none" | "threads" } = {}) {
    const params = { path: { id }, query: { include: options.include ?? "none" } } as const;
    return this.#read<"get-session">(
      this.#api.GET("/chatkit/sessions/{id}", { params, ...this.#reading(options) }),
    );
  }

  cancelSession(id: string, options: RequestOptions = {}): Promise<Json<"cancel-session">> {
    const params = { path: { id } };
    return this.#json(
      this.#api.POST("/chatkit/sessions/{id}/cancel", { params, ...this.#writing(options, false) }),
    ) as Promise<Json<"cancel-session">>;
  }

  /** Stops the answers that a self-hosted agent is writing. */
  stopResponse(id: string, options: RequestOptions = {}): Promise<Json<"stop-response">> {
    const params = { path: { id } };
    return this.#json(
      this.#api.POST("/chatkit/sessions/{id}/stop", { params, ...this.#writing(options, false) }),
    ) as Promise<Json<"stop-response">>;
  }

  /** Records events. Their ids make a retry safe. */
  recordEvents(
    id: string,
    body: Model.SubmittedEvent[],
    options: RequestOptions = {},
  ): Promise<{ events: Model.RecordedEvent[] }> {
    const params = { path: { id } };
    const init = { params, body, ...this.#writing(options, false) };
    return this.#json(this.#api.POST("/chatkit/sessions/{id}/events", init)) as Promise<{
      events: Model.RecordedEvent[];
    }>;
  }

  listMessages(id: string, query: Model.Query<"list-messages"> = {}, options: ReadOptions = {}) {
    const params = { path: { id }, query };
    return this.#read<"list-messages">(
      this.#api.GET("/chatkit/sessions/{id}/messages", { params, ...this.#reading(options) }),
    );
  }

  listAgents(options: ReadOptions = {}) {
    return this.#read<"list-agents">(this.#api.GET("/chatkit/agents", this.#reading(options)));
  }

  listEscalations(query: Model.Query<"list-escalations"> = {}, options: ReadOptions = {}) {
    return this.#read<"list-escalations">(
      this.#api.GET("/chatkit/escalations", { params: { query }, ...this.#reading(options) }),
    );
  }

  getEscalation(id: string, options: ReadOptions = {}) {
    const params = { path: { id } };
    return this.#read<"get-escalation">(
      this.#api.GET("/chatkit/escalations/{id}", { params, ...this.#reading(options) }),
    );
  }

  /** Claims an escalation for some time. A decision does not need a claim. */
  claimEscalation(
    id: string,
    options: RequestOptions & { seconds?: number } = {},
  ): Promise<Model.Escalation> {
    const { seconds } = options;
    const init = {
      params: { path: { id } },
      body: seconds === undefined ? {} : { seconds },
      ...this.#writing(options, false),
    };
    return this.#json(
      this.#api.POST("/chatkit/escalations/{id}/claim", init),
    ) as Promise<Model.Escalation>;
  }

  releaseEscalation(id: string, options: RequestOptions = {}): Promise<Model.Escalation> {
    const init = { params: { path: { id } }, ...this.#writing(options, false) };
    return this.#json(
      this.#api.POST("/chatkit/escalations/{id}/release", init),
    ) as Promise<Model.Escalation>;
  }

  decideEscalation(
    { escalationId, ...body }: Model.DecisionIntent,
    options: RequestOptions = {},
  ): Promise<Json<"decide-escalation">> {
    const params = { path: { id: escalationId } };
    return this.#json(
      this.#api.POST("/chatkit/escalations/{id}/decision", {
        params,
        body,
        ...this.#writing(options),
      }),
    ) as Promise<Json<"decide-escalation">>;
  }

  getMetrics(query: Model.Query<"get-metrics"> = {}, options: ReadOptions = {}) {
    return this.#read<"get-metrics">(
      this.#api.GET("/chatkit/metrics", { params: { query }, ...this.#reading(options) }),
    );
  }

  #reading({ etag, ...options }: ReadOptions) {
    return this.#init(options, etag ? { "If-None-Match": etag } : {});
  }

  #writing(options: RequestOptions, withKey = true) {
    const key = options.idempotencyKey ?? crypto.randomUUID();
    return this.#init(options, withKey ? { "Idempotency-Key": key } : {});
  }

  #init({ attempts = 4, signal, keepalive }: RequestOptions, headers: Record<string, string>) {
    return {
      fetch: (request: Request) => this.#send(request, attempts),
      headers,
      parseAs: "text" as const,
      // The browser would keep amounts in its cache.
      cache: "no-store" as const,
      ...(keepalive && { keepalive }),
      ...(signal && { signal }),
    };
  }

  /** Sends a request until a response arrives that is not temporary. */
  async #send(request: Request, attempts: number): Promise<Response> {
    const send: Send = this.#options.fetch ?? ((input) => fetch(input));
    let fresh = false;
    for (let attempt = 1; ; attempt++) {
      const copy = request.clone();
      copy.headers.set("Authorization", `Bearer ${await this.#options.getAccessToken(fresh)}`);
      const response = await send(copy).catch((error: unknown) => {
        request.signal.throwIfAborted();
        return new NoResponseError(error);
      });
      const isLast = attempt >= attempts;
      let seconds = 2 ** (attempt - 1);
      if (response instanceof NoResponseError) {
        if (isLast) throw response;
      } else {
        if (response.ok || response.status === 304) return response;
        const problem = await problemOf(response.clone());
        if (problem.code === "expired_token" && !fresh) {
          fresh = true;
          continue;
        }
        if (isLast || !problem.isTemporary) return response;
        seconds = Math.max(seconds, problem.retryAfter ?? 0);
        if (seconds > LONGEST_WAIT_SECONDS) return response;
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

  async #read<Operation extends keyof operations>(
    promise: Promise<Outcome>,
  ): Promise<Conditional<Json<Operation>>> {
    const { data, error, response } = await promise;
    if (response.status === 304) return { changed: false };
    const body = parseBody(response, data, error) as Json<Operation>;
    return { changed: true, data: body, etag: response.headers.get("ETag") };
  }

  async #json(promise: Promise<Outcome>): Promise<unknown> {
    const { data, error, response } = await promise;
    return parseBody(response, data, error);
  }
}

export type ReadOptions = RequestOptions & { etag?: string | null };

/** A new session, or a client secret for an open one. */
export type OpenSession =
  | { agentId: string; channel?: "web" | "voice"; metadata?: Record<string, unknown> }
  | { sessionId: string; purpose: "resume" | "refresh"; agentId?: string; rejected?: boolean };

interface Outcome {
  data?: unknown;
  error?: unknown;
  response: Response;
}

function parseBody(response: Response, data: unknown, error: unknown): unknown {
  if (!response.ok) throw toProblem(response, error);
  try {
    return parseJson(String(data));
  } catch (cause) {
    throw new NoResponseError(cause);
  }
}

async function problemOf(response: Response): Promise<ProblemError> {
  return toProblem(response, await response.json().catch(() => null));
}

function toProblem(response: Response, body: unknown): ProblemError {
  const problem = body !== null && typeof body === "object" ? body : {};
  const header = Number(response.headers.get("Retry-After") ?? NaN);
  return new ProblemError(response.status, problem, Number.isFinite(header) ? header : null);
}

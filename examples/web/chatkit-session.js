// Gives ChatKit.js its client secrets. With a hosted agent:
//
//   const options = { baseUrl, agentId: "accounts_payable", getAccessToken };
//   const getClientSecret = createGetClientSecret(options);
//   document.querySelector("openai-chatkit").setOptions({ api: { getClientSecret } });

/**
 * @typedef {object} Options
 * @property {string} baseUrl The URL of the API, without a slash at its end.
 * @property {string} agentId The agent to open a session with.
 * @property {(fresh: boolean) => Promise<string>} getAccessToken The user's Supabase access token.
 *   If `fresh` is true, a new one (`supabase.auth.refreshSession()`).
 * @property {string} [sessionId] A session to resume, on another device or after a reload. Without
 *   it, a session is opened.
 * @property {(session: Session) => void} [onSession] Called with the session whenever a secret
 *   arrives. Its id can be resumed later.
 */

/**
 * @typedef {object} Session
 * @property {string} id
 * @property {{ provider: "openai_hosted" } | SelfHostedChat} chatkit
 */

/**
 * @typedef {object} SelfHostedChat
 * @property {"self_hosted"} provider
 * @property {string} apiUrl The URL of the chat.
 * @property {string} domainKey The key of the page's domain at OpenAI.
 * @property {object} startScreen The agent's start screen.
 */

/** An RFC 9457 problem with a stable `code`, which the API returned instead of a result. */
export class ProblemError extends Error {
  /** @param {{ code?: string, title?: string, detail?: string }} problem */
  constructor(problem) {
    super(`${problem.title ?? "The API did not answer as described"}. ${problem.detail ?? ""}`);
    this.code = problem.code;
  }
}

/**
 * @param {Options} options
 * @returns {(current: string | null) => Promise<string>} `getClientSecret` of ChatKit's options.
 */
export function createGetClientSecret({ baseUrl, agentId, getAccessToken, sessionId, onSession }) {
  // The key of one session, which retries do not open a second time.
  let key = crypto.randomUUID();
  /**
   * The request that simultaneous calls share.
   *
   * @type {Promise<string> | null}
   */
  let pending = null;

  return (current) => (pending ??= obtain(current).finally(() => (pending = null)));

  /** @param {string | null} current */
  async function obtain(current) {
    try {
      return await (sessionId ? renew(current) : open());
    } catch (error) {
      // An ended session cannot be continued, and its key cannot open another one.
      const { code = "" } = /** @type {ProblemError} */ (error);
      if (!["session_ended", "session_not_found"].includes(code)) throw error;
      sessionId = undefined;
      key = crypto.randomUUID();
      return open();
    }
  }

  function open() {
    return post({ agentId }, { "Idempotency-Key": key });
  }

  /** @param {string | null} current */
  async function renew(current) {
    if (!current) return post({ sessionId, purpose: "resume" });
    const secret = await post({ sessionId, purpose: "refresh" });
    if (secret !== current) return secret;
    // ChatKit.js requests a secret because the current one does not work. The API issues that one
    // until it expires, unless the request reports its rejection.
    return post({ sessionId, purpose: "refresh", rejected: true });
  }

  /**
   * @param {object} body
   * @param {Record<string, string>} headers
   * @returns {Promise<string>}
   */
  async function post(body, headers = {}) {
    let fresh = false;
    for (let attempt = 1; ; attempt++) {
      const response = await fetch(`${baseUrl}/chatkit/sessions`, {
        method: "POST",
        headers: {
          ...headers,
          Authorization: `Bearer ${await getAccessToken(fresh)}`,
          "Content-Type": "application/json",
        },
        body: JSON.stringify(body),
      }).catch(() => null);
      if (response?.ok) {
        const session = await response.json();
        if (!session.chatkit) throw new ProblemError({ title: "ChatKit is not configured" });
        sessionId = session.id;
        onSession?.(session);
        return session.chatkit.clientSecret;
      }
      /** @type {{ code?: string }} */
      const problem = (await response?.json().catch(() => null)) ?? {};
      const { code = "" } = problem;
      /** @type {boolean} */
      const expired = code === "expired_token" && !fresh;
      const overloaded = ["still_running", "rate_limited"].includes(code);
      const temporary = !response || response.status >= 500 || overloaded;
      if (attempt === 5 || !(expired || temporary)) throw new ProblemError(problem);
      fresh = expired;
      if (expired) continue;
      const retryAfter = Number(response?.headers.get("Retry-After") ?? 0);
      const seconds = Math.max(retryAfter, 2 ** (attempt - 1));
      await new Promise((resolve) => setTimeout(resolve, 1000 * seconds * (1 + Math.random() / 4)));
    }
  }
}

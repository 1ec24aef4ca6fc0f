// Provides client secrets for ChatKit.js:
//
//   const getClientSecret = createGetClientSecret({ baseUrl, agentId: "accounts_payable", getAccessToken });
//   document.querySelector("openai-chatkit").setOptions({ api: { getClientSecret } });

/**
 * @typedef {object} Options
 * @property {string} baseUrl URL of the API, without a trailing slash.
 * @property {string} agentId The agent of a new session.
 * @property {(fresh: boolean) => Promise<string>} getAccessToken Returns the user's Supabase access
 *   token, and a new one (`supabase.auth.refreshSession()`) if `fresh` is true.
 * @property {string} [sessionId] The session to resume, for example after a reload. If omitted, a new
 *   session is opened.
 * @property {(session: { id: string }) => void} [onSession] Receives the session with each secret. Keep
 *   its id to resume the session later.
 */

/** An error response of the API (RFC 9457) with a stable `code`. */
export class ProblemError extends Error {
  /** @param {{ code?: string, title?: string, detail?: string }} problem */
  constructor(problem) {
    super(`${problem.title ?? "The API returned an unexpected response"}. ${problem.detail ?? ""}`);
    this.code = problem.code;
  }
}

/**
 * @param {Options} options
 * @returns {(current: string | null) => Promise<string>} `getClientSecret` of ChatKit's options.
 */
export function createGetClientSecret({ baseUrl, agentId, getAccessToken, sessionId, onSession }) {
  let key = crypto.randomUUID(); // one key per session, so retries open one session
  let pending = null; // concurrent calls share one request

  return (current) => (pending ??= obtain(current).finally(() => (pending = null)));

  async function obtain(current) {
    try {
      return await (sessionId ? renew(current) : open());
    } catch (error) {
      // The session cannot continue, so open another one under a new key.
      if (!["session_ended", "session_not_found"].includes(error.code)) throw error;
      sessionId = undefined;
      key = crypto.randomUUID();
      return open();
    }
  }

  function open() {
    return post({ agentId }, { "Idempotency-Key": key });
  }

  async function renew(current) {
    if (!current) return post({ sessionId, purpose: "resume" });
    const secret = await post({ sessionId, purpose: "refresh" });
    // ChatKit.js rejects this secret. The API returns it as long as it is valid, unless the request
    // says that it was rejected.
    return secret === current ? post({ sessionId, purpose: "refresh", rejected: true }) : secret;
  }

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
      const problem = (await response?.json().catch(() => null)) ?? {};
      const expired = problem.code === "expired_token" && !fresh;
      const passes =
        !response || response.status >= 500 || ["still_running", "rate_limited"].includes(problem.code);
      if (attempt === 5 || !(expired || passes)) throw new ProblemError(problem);
      fresh = expired;
      if (expired) continue;
      const seconds = Math.max(Number(response?.headers.get("Retry-After") ?? 0), 2 ** (attempt - 1));
      await new Promise((resolve) => setTimeout(resolve, 1000 * seconds * (1 + Math.random() / 4)));
    }
  }
}

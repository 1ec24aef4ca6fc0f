// Gives ChatKit.js its client secrets:
//
//   const getClientSecret = createGetClientSecret({ baseUrl, agentId: "accounts_payable", getAccessToken });
//   document.querySelector("openai-chatkit").setOptions({ api: { getClientSecret } });

/**
 * @typedef {object} Options
 * @property {string} baseUrl Where the API is, without a slash at its end.
 * @property {string} agentId The agent to open a session with.
 * @property {(fresh: boolean) => Promise<string>} getAccessToken The user's Supabase access token; a fresh one
 *   (`supabase.auth.refreshSession()`) where asked for.
 * @property {string} [sessionId] A session to resume, on another device or after a reload; without, a new one is opened.
 * @property {(session: { id: string }) => void} [onSession] Called with the session whenever a secret arrives: the id to resume.
 */

/** What the API answered instead of a session: an RFC 9457 problem with a stable `code`. */
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
  let key = crypto.randomUUID(); // of one session: it is opened once, however often it is tried
  let pending = null; // calls that come at once share one request

  return (current) => (pending ??= obtain(current).finally(() => (pending = null)));

  async function obtain(current) {
    try {
      return await (sessionId ? renew(current) : open());
    } catch (error) {
      // It never goes on, and neither does its key.
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
    // ChatKit.js asks because this one does not work. The API cannot know, and hands it out while it has time left.
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

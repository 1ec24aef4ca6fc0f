// Records what happens in the page as events of its session.

import { ProblemError } from "./chatkit-session.js";

/**
 * @typedef {object} Options
 * @property {string} baseUrl The URL of the API, without a slash at its end.
 * @property {(fresh: boolean) => Promise<string>} getAccessToken The user's Supabase access token.
 */

/** @param {Options} options */
export function createEventRecorder({ baseUrl, getAccessToken }) {
  /** @type {PromiseWithResolvers<string>} */
  let session = Promise.withResolvers();
  /** @type {Promise<unknown>} */
  let queue = Promise.resolve();

  return { setSession, record };

  /**
   * Sets the session of the events that follow, and of those that wait for the first session.
   *
   * @param {string} id
   */
  function setSession(id) {
    session.resolve(id);
    session = Promise.withResolvers();
    session.resolve(id);
  }

  /**
   * Records an event after all earlier events. Event types and payloads are in `docs/openapi.yaml`.
   *
   * @param {string} type
   * @param {object} payload
   * @returns {Promise<void>}
   */
  function record(type, payload) {
    // The API recognises a repeated event by its id, so `send` may retry.
    const event = { id: crypto.randomUUID(), type, occurredAt: new Date().toISOString(), payload };
    const recorded = queue.then(() => send(event));
    queue = recorded.catch(() => {});
    return recorded;
  }

  /** @param {object} event */
  async function send(event) {
    const path = `/chatkit/sessions/${await session.promise}/events`;
    let fresh = false;
    for (let attempt = 1; ; attempt++) {
      const token = await getAccessToken(fresh);
      const response = await fetch(`${baseUrl}${path}`, {
        method: "POST",
        headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
        body: JSON.stringify(event),
      }).catch(() => null);
      if (response?.ok) return;
      /** @type {{ code?: string }} */
      const problem = (await response?.json().catch(() => null)) ?? {};
      /** @type {boolean} */
      const expired = problem.code === "expired_token" && !fresh;
      const temporary = !response || response.status >= 500 || problem.code === "rate_limited";
      if (attempt === 5 || !(expired || temporary)) throw new ProblemError(problem);
      fresh = expired;
      if (expired) continue;
      const retryAfter = Number(response?.headers.get("Retry-After") ?? 0);
      const seconds = Math.max(retryAfter, 2 ** (attempt - 1));
      await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
    }
  }
}

// Sends the requests of ChatKit.js to the chat of a self-hosted agent.

/** The requests of ChatKit.js that ask the model. */
const ASKING = [
  "threads.create",
  "threads.add_user_message",
  "threads.add_client_tool_output",
  "threads.retry_after_item",
  "threads.custom_action",
];

/** The time in which ChatKit.js repeats a failed request, with a margin. */
const RETRY_WINDOW_MS = 60_000;

/**
 * @typedef {object} Options
 * @property {(current: string | null) => Promise<string>} getClientSecret Returns a client secret.
 *   `current` is the one that was rejected.
 * @property {() => void} onStop Called when the user stops an answer.
 */

/**
 * @param {Options} options
 * @returns {typeof fetch} `api.fetch` of ChatKit's options.
 */
export function createChatFetch({ getClientSecret, onStop }) {
  /** @type {string | null} */
  let secret = null;
  /**
   * The last message, until its answer is complete.
   *
   * @type {{ body: string, key: string, sentAt: number } | null}
   */
  let pending = null;

  return async (input, init) => {
    const key = keyOf(init?.body);
    init?.signal?.addEventListener("abort", () => stop(key), { once: true });
    const sent = (secret ??= await getClientSecret(null));
    let response = await send(sent);
    if (response.status === 401) {
      secret = await getClientSecret(sent);
      response = await send(secret);
    }
    return key && response.ok && response.body ? watch(response, response.body, key) : response;

    /** @param {string} bearer */
    function send(bearer) {
      const headers = new Headers(init?.headers);
      headers.set("Authorization", `Bearer ${bearer}`);
      if (key) headers.set("Idempotency-Key", key);
      return fetch(input, { ...init, headers });
    }
  };

  /**
   * The idempotency key of a message. ChatKit.js repeats a request with the same body if its response
   * breaks off. The same words after a complete answer are a new message.
   *
   * @param {unknown} body
   */
  function keyOf(body) {
    if (typeof body !== "string" || !ASKING.includes(JSON.parse(body).type)) return null;
    const isRepeat = pending?.body === body && Date.now() - pending.sentAt < RETRY_WINDOW_MS;
    const key = isRepeat && pending ? pending.key : crypto.randomUUID();
    pending = { body, key, sentAt: Date.now() };
    return key;
  }

  /** @param {string | null} key */
  function forget(key) {
    const isPending = pending !== null && pending.key === key;
    if (isPending) pending = null;
    return isPending;
  }

  /** @param {string | null} key */
  function stop(key) {
    if (forget(key)) onStop();
  }

  /**
   * Passes an answer on, and notices its end.
   *
   * @param {Response} response
   * @param {ReadableStream<Uint8Array>} stream
   * @param {string} key
   */
  function watch({ status, statusText, headers }, stream, key) {
    const reader = stream.getReader();
    const body = new ReadableStream({
      async pull(controller) {
        // If this fails, the key is kept for the repeat.
        const { done, value } = await reader.read();
        if (!done) return controller.enqueue(value);
        forget(key);
        controller.close();
      },
      cancel(reason) {
        stop(key);
        return reader.cancel(reason);
      },
    });
    return new Response(body, { status, statusText, headers });
  }
}

/**
 * Stops the running answers of a session. ChatKit.js only closes its connection, which the function
 * does not notice.
 *
 * @param {{ baseUrl: string, getAccessToken: (fresh: boolean) => Promise<string> }} options
 * @param {string} sessionId
 */
export async function stopResponse({ baseUrl, getAccessToken }, sessionId) {
  const token = await getAccessToken(false);
  const response = await fetch(`${baseUrl}/chatkit/sessions/${sessionId}/stop`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}` },
    keepalive: true,
  });
  if (!response.ok) throw new Error("The answer could not be stopped.");
}

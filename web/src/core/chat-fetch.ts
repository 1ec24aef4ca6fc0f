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

export interface ChatFetchOptions {
  /** Returns a client secret. `current` is the one that was rejected. */
  getClientSecret: (current: string | null) => Promise<string>;
  /** Called when the user stops an answer. */
  onStop: () => void;
  /** Default: `fetch` of the page. */
  fetch?: typeof fetch;
}

interface PendingMessage {
  body: string;
  key: string;
  sentAt: number;
}

/** Returns `api.fetch` of ChatKit's options: each message has one `Idempotency-Key`. */
export function createChatFetch({ getClientSecret, onStop, ...rest }: ChatFetchOptions) {
  const fetchPage = rest.fetch ?? ((input, init) => fetch(input, init));
  let secret: string | null = null;
  let pending: PendingMessage | null = null;

  const chatFetch: typeof fetch = async (input, init) => {
    const key = keyOf(init?.body);
    init?.signal?.addEventListener("abort", () => stop(key), { once: true });
    const send = (bearer: string) => {
      const headers = new Headers(init?.headers);
      headers.set("Authorization", `Bearer ${bearer}`);
      if (key) headers.set("Idempotency-Key", key);
      return fetchPage(input, { ...init, headers });
    };
    const sent = (secret ??= await getClientSecret(null));
    let response = await send(sent);
    if (response.status === 401) {
      secret = await getClientSecret(sent);
      response = await send(secret);
    }
    return key && response.ok && response.body ? watch(response, response.body, key) : response;
  };
  return chatFetch;

  /**
   * The key of a message. ChatKit.js repeats a request with the same body if its response breaks
   * off. The same words after a complete answer are a new message.
   */
  function keyOf(body: unknown): string | null {
    if (typeof body !== "string" || !ASKING.includes(typeOf(body))) return null;
    const isRepeat = pending?.body === body && Date.now() - pending.sentAt < RETRY_WINDOW_MS;
    const key: string = isRepeat && pending ? pending.key : crypto.randomUUID();
    pending = { body, key, sentAt: Date.now() };
    return key;
  }

  function forget(key: string | null): boolean {
    const isPending = pending !== null && pending.key === key;
    if (isPending) pending = null;
    return isPending;
  }

  function stop(key: string | null): void {
    if (forget(key)) onStop();
  }

  /** Passes an answer on, and notices its end. */
  function watch(response: Response, stream: ReadableStream<Uint8Array>, key: string): Response {
    const { status, statusText, headers } = response;
    const reader = stream.getReader();
    const body = new ReadableStream<Uint8Array>({
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

function typeOf(body: string): string {
  try {
    return (JSON.parse(body) as { type?: string } | null)?.type ?? "";
  } catch {
    return "";
  }
}

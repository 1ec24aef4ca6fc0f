// A thread of the self-hosted chat, as the events of a stream change it.

/** An item of a thread. The parts that this page shows. */
export interface ChatItem {
  id: string;
  type: string;
  content?: { type: string; text?: string }[];
  task?: { title?: string; content?: string; icon?: string; status_indicator: string };
  widget?: Widget;
}

/** A component of a widget. The parts that the cards of held calls have. */
export interface Widget {
  type: string;
  value?: string;
  label?: string;
  style?: string;
  color?: string;
  status?: { text: string; icon?: string };
  children?: Widget[];
  onClickAction?: CardAction;
}

/** The action of a button. */
export interface CardAction {
  type: string;
  payload?: Record<string, unknown>;
  /** Whether its response is a stream. */
  streaming?: boolean;
}

export interface ChatEvent {
  type: string;
  thread?: { id: string };
  item?: ChatItem;
  item_id?: string;
  update?: ItemUpdate;
  message?: string;
}

interface ItemUpdate {
  type: string;
  content_index?: number;
  delta?: string;
  content?: { type: string; text?: string };
}

/** The text of a message. */
export function textOf({ content }: ChatItem): string {
  return (content ?? []).map(({ text }) => text ?? "").join("");
}

/** The actions that a card offers. */
export function actionsOf({ widget }: ChatItem): CardAction[] {
  const found = (component: Widget): CardAction[] => [
    ...(component.onClickAction ? [component.onClickAction] : []),
    ...(component.children ?? []).flatMap(found),
  ];
  return widget ? found(widget) : [];
}

/** The items after an event. An item that the page already has is replaced. */
export function applyEvent(items: readonly ChatItem[], event: ChatEvent): readonly ChatItem[] {
  const { item, item_id: id, update } = event;
  switch (event.type) {
    case "thread.item.added":
    case "thread.item.done":
    case "thread.item.replaced":
      if (!item) return items;
      return items.some((other) => other.id === item.id)
        ? items.map((other) => (other.id === item.id ? item : other))
        : [...items, item];
    case "thread.item.removed":
      return items.filter((other) => other.id !== id);
    case "thread.item.updated":
      if (!update) return items;
      return items.map((other) => (other.id === id ? updated(other, update) : other));
    default:
      return items;
  }
}

function updated(item: ChatItem, { type, content_index: index = 0, ...update }: ItemUpdate) {
  const content = [...(item.content ?? [])];
  const part = content[index];
  if (type.endsWith(".text_delta") && part) {
    content[index] = { ...part, text: (part.text ?? "") + (update.delta ?? "") };
  } else if (update.content) {
    content[index] = update.content;
  }
  return { ...item, content };
}

/** Reads the events of a stream. A stream that ends within an event is an error. */
export async function* readEvents(response: Response): AsyncGenerator<ChatEvent> {
  const decoder = new TextDecoder();
  const reader = response.body?.getReader();
  let buffer = "";
  while (reader) {
    const { done, value } = await reader.read();
    buffer += decoder.decode(value, { stream: !done });
    const frames = buffer.split("\n\n");
    buffer = frames.pop() ?? "";
    for (const frame of frames) yield JSON.parse(frame.replace(/^data: /, "")) as ChatEvent;
    if (done) break;
  }
  if (buffer.trim()) throw new TypeError("The stream ended within an event.");
}

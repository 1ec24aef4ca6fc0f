// Moves the focus and presses keys, as a person without a pointer does.

import { expect } from "vitest";
import { userEvent } from "vitest/browser";
import type { CksElement } from "../../src/elements/element.js";
import { focused, mount } from "./support.js";

/** Shows an element after a control that has the focus. Returns its events. */
export async function show<T extends CksElement>(tag: string, properties: object) {
  const { element } = await mount<T>(tag, properties);
  const before = document.createElement("button");
  before.textContent = "Before";
  element.before(before);
  before.focus();
  const events: [string, unknown][] = [];
  const listen = (name: string) =>
    element.addEventListener(`cks-${name}`, (event) =>
      events.push([name, (event as CustomEvent<unknown>).detail]),
    );
  [
    ...["decide", "decide-all", "select", "claim", "release", "filter", "load-more"],
    ...["arrivals-seen", "handover", "dismiss", "resume", "end-session", "new-session"],
  ].forEach(listen);
  return { element, events };
}

export const nameOf = (element: Element | null): string => {
  const root = element?.getRootNode() as ShadowRoot | Document | undefined;
  const label = element?.id ? root?.querySelector(`label[for="${element.id}"]`) : null;
  const own = element?.getAttribute("aria-label") ?? element?.textContent;
  const text = label?.textContent ?? element?.closest("label")?.textContent ?? own ?? "";
  return text.replace(/\s+/g, " ").trim();
};

/** Presses Tab until a control with this name has the focus. */
export async function tabTo(name: string | RegExp): Promise<HTMLElement> {
  const visited: string[] = [];
  for (let i = 0; i < 60; i++) {
    await userEvent.keyboard("{Tab}");
    const current = focused();
    const found = nameOf(current);
    if (typeof name === "string" ? found === name : name.test(found)) return current as HTMLElement;
    visited.push(found.slice(0, 40));
  }
  throw new Error(`Tab does not reach ${String(name)}: ${visited.join(" | ")}`);
}

/** Presses keys. Afterwards, a part of the element must have the focus. */
export async function press(element: CksElement, keys: string): Promise<void> {
  await userEvent.keyboard(keys);
  await settle(element);
}

export async function settle(element: CksElement): Promise<void> {
  await element.updateComplete;
  await element.updateComplete;
  expect(document.activeElement, "the element that has the focus").toBe(element);
}

import type { CksElement } from "../../src/elements/element.js";
import * as fixtures from "../fixtures.js";

/** An element in one of its states. */
export interface Example {
  name: string;
  make: () => CksElement;
  /** Brings the element into its state, after it was rendered. */
  prepare?: (element: CksElement) => void | Promise<void>;
}

export function element<T extends CksElement>(tag: string, properties: Partial<T>): T {
  const created = document.createElement(tag) as T;
  const common = {
    now: fixtures.NOW,
    timeZone: "Europe/Berlin",
    agents: fixtures.AGENTS,
    userId: fixtures.APPROVER,
  };
  return Object.assign(created, common, properties);
}

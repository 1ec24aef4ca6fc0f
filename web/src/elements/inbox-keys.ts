import { html, type TemplateResult } from "lit";
import type { TextKey } from "../texts/en.js";
import type { CksInbox } from "./inbox.js";

/**
 * The keys of the shortcuts. Arrows, Home and End always move in the list, and Enter opens an
 * escalation, because it is a button.
 */
export interface InboxKeys {
  next: string;
  previous: string;
  edit: string;
  select: string;
  help: string;
}

/** The steps of the keys that move in the list also without shortcuts. */
export const STEPS: Readonly<Record<string, number>> = {
  ArrowDown: 1,
  ArrowUp: -1,
  Home: -Infinity,
  End: Infinity,
};

export const DEFAULT_KEYS: InboxKeys = {
  next: "j",
  previous: "k",
  edit: "e",
  select: "x",
  help: "?",
};

/** The list of shortcuts, with a switch that turns them off. */
export function keyList(inbox: CksInbox): TemplateResult {
  const keys = inbox.keys ?? DEFAULT_KEYS;
  const rows: [string, TextKey][] = [
    [`${keys.next} ↓`, "inbox.keys.next"],
    [`${keys.previous} ↑`, "inbox.keys.previous"],
    ["Enter", "inbox.keys.open"],
    [keys.edit, "inbox.keys.edit"],
    [keys.select, "inbox.keys.select"],
    ["Ctrl + Enter", "inbox.keys.send"],
    [keys.help, "inbox.keys.help"],
  ];
  const toggle = (event: Event) => {
    const isOn = (event.target as HTMLInputElement).checked;
    inbox.keys = isOn ? DEFAULT_KEYS : null;
  };
  return html`<details class="keys">
    <summary>${inbox.t("inbox.keys")}</summary>
    <label class="check">
      <input type="checkbox" .checked=${inbox.keys !== null} @change=${toggle} />
      ${inbox.t("inbox.keys.on")}
    </label>
    <dl>
      ${rows.map(
        ([key, text]) =>
          html`<div>
            <dt><kbd>${key}</kbd></dt>
            <dd>${inbox.t(text)}</dd>
          </div>`,
      )}
    </dl>
  </details>`;
}

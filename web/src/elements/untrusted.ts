// Text of agents and users. It is shown as text, and what would mislead a reader is made visible.

import { html, nothing, type TemplateResult } from "lit";

export type Rendered = TemplateResult | string | typeof nothing | Rendered[];

/** Controls, format characters and separators that are invisible or change the direction. */
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff9-\ufffb]|[\u{e0000}-\u{e0fff}]/gu;

const LINK =
  /\bhttps?:\/\/[^\s<>"'`\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069]+/gi;

/** Joiners are a part of emoji and of some scripts. */
const JOINED =
  /[\p{Extended_Pictographic}\ufe0f\p{Script=Arabic}\p{Script=Devanagari}\p{Script=Bengali}\p{Script=Sinhala}\p{Script=Malayalam}]/u;

/** Splits a text at its hidden characters, which `mark` shows. */
function split<T>(text: string, mark: (code: string) => T): (string | T)[] {
  const parts: (string | T)[] = [];
  let end = 0;
  for (const match of text.matchAll(HIDDEN)) {
    const [character] = match;
    const before = text.slice(0, match.index);
    const isJoiner = character === "\u200d" || character === "\u200c";
    const previous = [...before.slice(-2)].at(-1) ?? "";
    if (isJoiner && JOINED.test(previous)) continue;
    parts.push(text.slice(end, match.index));
    end = match.index + character.length;
    const hex = character.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0");
    parts.push(mark(`U+${hex}`));
  }
  parts.push(text.slice(end));
  return parts;
}

/** Shows hidden characters by their code points. */
export function visibleText(text: string, describe: (code: string) => string): Rendered[] {
  const mark = (code: string) =>
    html`<span class="control-character" role="img" aria-label=${describe(code)}>${code}</span>`;
  return split<Rendered>(text, mark);
}

/** Text for a place that has no markup, for example an option. */
export function plainText(text: string): string {
  return split(text, (code) => `[${code}]`).join("");
}

/** Text in its own direction, with hidden characters made visible. */
export function value(text: string, describe: (code: string) => string): TemplateResult {
  return html`<bdi class="wrap">${visibleText(text, describe)}</bdi>`;
}

/** Text in which links state their host, and open only from there. */
export function prose(
  text: string,
  describe: (code: string) => string,
  open: (host: string) => string,
): TemplateResult {
  const parts: Rendered[] = [];
  let end = 0;
  for (const match of text.matchAll(LINK)) {
    const [written] = match;
    const trimmed = written.replace(/[.,;:!?)\]}]+$/, "");
    const url = safeUrl(trimmed);
    if (!url) continue;
    parts.push(visibleText(text.slice(end, match.index), describe));
    end = match.index + trimmed.length;
    parts.push(link(url, trimmed, describe, open));
  }
  parts.push(visibleText(text.slice(end), describe));
  return html`<bdi class="wrap">${parts}</bdi>`;
}

/** A URL as text, followed by a link that states its host. */
export function link(
  url: URL,
  text: string,
  describe: (code: string) => string,
  open: (host: string) => string,
): TemplateResult {
  // The host is shown in ASCII, so that letters of other scripts cannot imitate it.
  return html`<span class="link-text">${visibleText(text, describe)}</span> (<a
      href=${url.href}
      target="_blank"
      rel="noopener noreferrer nofollow"
      referrerpolicy="no-referrer"
      >${open(url.host)}</a
    >)`;
}

/** The URL, if a link to it can only open a page. */
export function safeUrl(text: string): URL | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  const isWeb = url.protocol === "https:" || url.protocol === "http:";
  return isWeb && !url.username && !url.password ? url : undefined;
}

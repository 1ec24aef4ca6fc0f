// Hostile text is text in every element: no markup, no link but those that state their host, and
// no character that changes the direction of what surrounds it.

import { describe, expect, test } from "vitest";
import "../../src/approval-card.js";
import "../../src/handover-banner.js";
import "../../src/inbox.js";
import "../../src/metrics.js";
import "../../src/schema-form.js";
import "../../src/session-picker.js";
import "../../src/task-list.js";
import "../../src/timeline.js";
import "../../src/transcript.js";
import { EXAMPLES } from "../../gallery/examples.js";
import { HOSTILE } from "../../gallery/fixtures.js";

const examples = EXAMPLES.filter(({ name }) => name.endsWith("-hostile"));

/** Characters of `HOSTILE` that a reader does not see. */
const HIDDEN = /[\u202a-\u202e\u2066-\u2069\u200b\u0007]/;
const MARKUP = '<img src=x onerror="alert(1)">';

/** All nodes of a tree, also those in shadow roots. */
function nodesOf(root: Node): Node[] {
  const shadow = root instanceof Element && root.shadowRoot ? nodesOf(root.shadowRoot) : [];
  return [root, ...shadow, ...[...root.childNodes].flatMap(nodesOf)];
}

async function show({ make, prepare }: (typeof EXAMPLES)[number]): Promise<Node[]> {
  const element = make();
  document.body.replaceChildren(element);
  await element.updateComplete;
  await prepare?.(element);
  await element.updateComplete;
  return nodesOf(element);
}

const isElement = (node: Node): node is Element => node instanceof Element;
const isText = (node: Node): node is Text => node instanceof Text;

describe("hostile text", () => {
  test("is_in_an_example_of_every_element", () => {
    const kinds = new Set(EXAMPLES.map(({ name }) => name.split("-")[0]));
    expect(new Set(examples.map(({ name }) => name.split("-")[0]))).toEqual(kinds);
  });

  describe.each(examples)("in_$name", (example) => {
    test("is_text_in_its_own_direction", async () => {
      const texts = (await show(example)).filter(isText);
      const hostile = texts.filter(({ data }) => data.includes(MARKUP));
      expect(hostile.length).toBeGreaterThan(0);
      const isIsolated = ({ parentElement }: Text) =>
        parentElement?.closest("bdi, option") !== null;
      expect(hostile.filter((text) => !isIsolated(text))).toEqual([]);
      expect(texts.filter(({ data }) => HIDDEN.test(data))).toEqual([]);
    });

    test("is_no_element_no_attribute_and_no_hidden_link", async () => {
      const elements = (await show(example)).filter(isElement);
      const names = new Set(elements.map(({ localName }) => localName));
      for (const name of ["img", "script", "iframe", "object", "style"]) {
        expect([...names]).not.toContain(name);
      }
      const attributes = elements.flatMap((one) => [...one.attributes]);
      expect(attributes.filter(({ name }) => /^on|^style$|^srcdoc$/.test(name))).toEqual([]);
      // The value of an option is data, which is not shown.
      const shown = attributes.filter(
        ({ name }) => !["value", "data-id", "data-end"].includes(name),
      );
      expect(shown.filter(({ value }) => HIDDEN.test(value))).toEqual([]);
      for (const link of elements.filter((one) => one instanceof HTMLAnchorElement)) {
        expect(new URL(link.href).protocol).toBe("https:");
        expect(link.textContent).toBe("Open bank.example.evil.test in a new tab");
        expect(link.rel).toContain("noopener");
        expect(HOSTILE).toContain(link.href.slice(0, 40));
      }
    });
  });
});

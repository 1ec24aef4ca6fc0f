// Shows all examples, or one of them: `?example=inbox-list&lang=de&dir=rtl`.

import "../src/approval-card.js";
import "../src/handover-banner.js";
import "../src/inbox.js";
import "../src/metrics.js";
import "../src/session-picker.js";
import "../src/task-list.js";
import "../src/timeline.js";
import "../src/transcript.js";
import { de } from "../src/texts/de.js";
import { EXAMPLES, type Example } from "./examples.js";

const query = new URLSearchParams(location.search);
// English texts are those of the elements.
const texts = query.get("lang") === "de" ? de : undefined;
const root = document.documentElement;
root.lang = texts ? "de" : "en";
root.dir = query.get("dir") === "rtl" ? "rtl" : "ltr";
const theme = query.get("theme");
if (theme) root.dataset["theme"] = theme;

const main = document.querySelector("main") as HTMLElement;

async function show(example: Example, withHeading: boolean): Promise<void> {
  const section = document.createElement("section");
  section.id = example.name;
  if (withHeading) {
    const heading = document.createElement("p");
    const link = document.createElement("a");
    link.href = `?example=${example.name}`;
    link.textContent = example.name;
    heading.append(link);
    section.append(heading);
  }
  const element = Object.assign(example.make(), { texts });
  section.append(element);
  main.append(section);
  await element.updateComplete;
  await example.prepare?.(element);
  await element.updateComplete;
}

const name = query.get("example");
const examples = name ? EXAMPLES.filter((example) => example.name === name) : EXAMPLES;
for (const example of examples) await show(example, !name);
(document.activeElement as HTMLElement | null)?.blur();
main.dataset["ready"] = EXAMPLES.map((example) => example.name).join(" ");

// Shows all scenes, or one of them: `?scene=inbox-list&lang=de&dir=rtl`.

import "../src/approval-card.js";
import "../src/handover-banner.js";
import "../src/inbox.js";
import "../src/metrics.js";
import "../src/session-picker.js";
import "../src/task-list.js";
import "../src/timeline.js";
import "../src/transcript.js";
import { de } from "../src/texts/de.js";
import { SCENES, type Scene } from "./scenes.js";

const query = new URLSearchParams(location.search);
// English texts are those of the elements.
const texts = query.get("lang") === "de" ? de : undefined;
const root = document.documentElement;
root.lang = texts ? "de" : "en";
root.dir = query.get("dir") === "rtl" ? "rtl" : "ltr";
const theme = query.get("theme");
if (theme) root.dataset["theme"] = theme;

const main = document.querySelector("main") as HTMLElement;

async function show(scene: Scene, withHeading: boolean): Promise<void> {
  const section = document.createElement("section");
  section.id = scene.name;
  if (withHeading) {
    const heading = document.createElement("p");
    const link = document.createElement("a");
    link.href = `?scene=${scene.name}`;
    link.textContent = scene.name;
    heading.append(link);
    section.append(heading);
  }
  const element = Object.assign(scene.make(), { texts });
  section.append(element);
  main.append(section);
  await element.updateComplete;
  await scene.act?.(element);
  await element.updateComplete;
}

const name = query.get("scene");
const scenes = name ? SCENES.filter((scene) => scene.name === name) : SCENES;
for (const scene of scenes) await show(scene, !name);
(document.activeElement as HTMLElement | null)?.blur();
main.dataset["ready"] = SCENES.map((scene) => scene.name).join(" ");

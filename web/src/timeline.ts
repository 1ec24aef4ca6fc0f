import { define } from "./elements/element.js";
import { CksTimeline } from "./elements/timeline.js";

define("cks-timeline", CksTimeline);

export * from "./elements/timeline.js";

declare global {
  interface HTMLElementTagNameMap {
    "cks-timeline": CksTimeline;
  }
}

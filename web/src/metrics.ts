import { define } from "./elements/element.js";
import { CksMetrics } from "./elements/metrics.js";

define("cks-metrics", CksMetrics);

export * from "./elements/metrics.js";

declare global {
  interface HTMLElementTagNameMap {
    "cks-metrics": CksMetrics;
  }
}

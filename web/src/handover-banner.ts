import { define } from "./elements/element.js";
import { CksHandoverBanner } from "./elements/handover-banner.js";

define("cks-handover-banner", CksHandoverBanner);

export * from "./elements/handover-banner.js";

declare global {
  interface HTMLElementTagNameMap {
    "cks-handover-banner": CksHandoverBanner;
  }
}

import { define } from "./elements/element.js";
import { CksSessionPicker } from "./elements/session-picker.js";

define("cks-session-picker", CksSessionPicker);

export * from "./elements/session-picker.js";

declare global {
  interface HTMLElementTagNameMap {
    "cks-session-picker": CksSessionPicker;
  }
}

import { define } from "./elements/element.js";
import { CksTranscript } from "./elements/transcript.js";

define("cks-transcript", CksTranscript);

export * from "./elements/transcript.js";

declare global {
  interface HTMLElementTagNameMap {
    "cks-transcript": CksTranscript;
  }
}

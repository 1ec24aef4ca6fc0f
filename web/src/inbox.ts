import "./approval-card.js";
import { define } from "./elements/element.js";
import { CksInbox } from "./elements/inbox.js";

define("cks-inbox", CksInbox);

export * from "./elements/inbox.js";

declare global {
  interface HTMLElementTagNameMap {
    "cks-inbox": CksInbox;
  }
}

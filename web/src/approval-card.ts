import { CksApprovalCard } from "./elements/approval-card.js";
import { define } from "./elements/element.js";

define("cks-approval-card", CksApprovalCard);

export * from "./elements/approval-card.js";

declare global {
  interface HTMLElementTagNameMap {
    "cks-approval-card": CksApprovalCard;
  }
}

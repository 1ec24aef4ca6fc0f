import { define } from "./elements/element.js";
import { CksTaskList } from "./elements/task-list.js";

define("cks-task-list", CksTaskList);

export * from "./elements/task-list.js";

declare global {
  interface HTMLElementTagNameMap {
    "cks-task-list": CksTaskList;
  }
}

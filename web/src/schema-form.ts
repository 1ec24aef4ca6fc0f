import { define } from "./elements/element.js";
import { CksSchemaForm } from "./elements/schema-form.js";

define("cks-schema-form", CksSchemaForm);

export * from "./elements/schema-form.js";

declare global {
  interface HTMLElementTagNameMap {
    "cks-schema-form": CksSchemaForm;
  }
}

import { card } from "./en/card.js";
import { common } from "./en/common.js";
import { conversation } from "./en/conversation.js";
import { form } from "./en/form.js";
import { inbox } from "./en/inbox.js";
import { metrics } from "./en/metrics.js";

/** All English texts. Every other language has the same keys. */
export const en = {
  locale: "en",
  ...common,
  ...card,
  ...form,
  ...inbox,
  ...conversation,
  ...metrics,
};

export type TextKey = Exclude<keyof typeof en, "locale">;

// Every state of every element.

import { cards, forms } from "./examples/cards.js";
import type { Example } from "./examples/example.js";
import { inboxes } from "./examples/inboxes.js";
import { others } from "./examples/others.js";

export type { Example };

export const EXAMPLES: readonly Example[] = [...cards, ...forms, ...inboxes, ...others];

import { html, type TemplateResult } from "lit";
import type { InboxFilter } from "../core/inbox.js";
import type { TextKey } from "../texts/en.js";
import type { CksInbox, FilterChange } from "./inbox.js";
import { plainText } from "./untrusted.js";

type FilterKey = keyof InboxFilter;

/** The filters and the order of the list. */
export function filterBar(inbox: CksInbox): TemplateResult {
  const { filter } = inbox;
  const set = (change: Partial<Record<FilterKey, unknown>>) => {
    const entries = Object.entries({ ...filter, ...change }).filter(([, value]) => value);
    const next = Object.fromEntries(entries) as InboxFilter;
    inbox.dispatch<FilterChange>("cks-filter", { filter: next });
  };
  const valueOf = (event: Event) => (event.target as HTMLSelectElement).value;
  const isChecked = (event: Event) => (event.target as HTMLInputElement).checked;

  const statuses = ["open", "resolved", "expired", "withdrawn"] as const;
  const risks = ["low", "medium", "high"] as const;
  const orders = ["waiting", "expiry", "newest"] as const;
  const isOpen = !filter.status || filter.status.includes("open");
  return html`<div
    class="filters"
    part="filters"
    role="group"
    aria-label=${inbox.t("inbox.filter")}
  >
    ${choice(
      inbox,
      "inbox.filter.status",
      statuses.map((status) => [status, inbox.t(`status.${status}`)]),
      filter.status?.[0] ?? "open",
      (event) => set({ status: [valueOf(event)], decidable: undefined, claimedBy: undefined }),
    )}
    ${choice(
      inbox,
      "inbox.filter.risk",
      [["", inbox.t("inbox.filter.any")], ...risks.map((r) => [r, inbox.t(`risk.${r}`)] as const)],
      filter.risk ?? "",
      (event) => set({ risk: valueOf(event) }),
    )}
    ${
      inbox.agents.length > 1
        ? choice(
            inbox,
            "inbox.filter.agent",
            [
              ["", inbox.t("inbox.filter.any")],
              ...inbox.agents.map(({ id, displayName }) => [id, plainText(displayName)] as const),
            ],
            filter.agentId ?? "",
            (event) => set({ agentId: valueOf(event) }),
          )
        : ""
    }
    ${choice(
      inbox,
      "inbox.sort",
      orders.map((order) => [order, inbox.t(`inbox.sort.${order}`)]),
      filter.sort ?? "waiting",
      (event) => set({ sort: valueOf(event) }),
    )}
    ${
      isOpen
        ? html`<label class="check">
              <input
                type="checkbox"
                .checked=${filter.decidable === true}
                @change=${(event: Event) => set({ decidable: isChecked(event) })}
              />
              ${inbox.t("inbox.filter.mine")}
            </label>
            <label class="check">
              <input
                type="checkbox"
                .checked=${filter.claimedBy === "me"}
                @change=${(event: Event) => set({ claimedBy: isChecked(event) ? "me" : undefined })}
              />
              ${inbox.t("inbox.filter.claimed")}
            </label>`
        : ""
    }
  </div>`;
}

function choice(
  inbox: CksInbox,
  label: TextKey,
  options: readonly (readonly [string, string])[],
  current: string,
  onChange: (event: Event) => void,
): TemplateResult {
  return html`<label class="choice">
    <span>${inbox.t(label)}</span>
    <select @change=${onChange}>
      ${options.map(
        ([value, text]) =>
          html`<option value=${value} ?selected=${value === current}>${text}</option>`,
      )}
    </select>
  </label>`;
}

import { css } from "lit";

export const inboxStyles = css`
  :host {
    container: inbox / inline-size;
  }
  .inbox {
    display: grid;
    gap: 1rem;
  }
  .columns {
    align-items: start;
    display: grid;
    gap: 1.25rem;
    grid-template-columns: minmax(18rem, 5fr) minmax(0, 7fr);
  }
  .detail-column {
    min-inline-size: 0;
    position: sticky;
    inset-block-start: 1rem;
  }
  .back {
    display: none;
    margin-block-end: 0.5rem;
  }
  .filters {
    align-items: end;
    display: flex;
    flex-wrap: wrap;
    gap: 0.5rem 1rem;
  }
  .choice {
    display: grid;
    gap: 0.25rem;
  }
  .choice span {
    color: var(--_muted);
    font-size: 0.8125rem;
  }
  .choice select {
    inline-size: auto;
    min-inline-size: 8rem;
  }
  .list-column > ul {
    background: var(--_surface);
    border: 1px solid var(--_line);
    border-radius: var(--_radius);
    box-shadow: var(--_shadow);
    overflow: clip;
  }
  .item {
    align-items: stretch;
    display: flex;
  }
  .item + .item {
    border-block-start: 1px solid var(--_line);
  }
  .item.selected {
    background: var(--_accent-soft);
    box-shadow: inset 4px 0 0 var(--_accent);
  }
  .item.selected:dir(rtl) {
    box-shadow: inset -4px 0 0 var(--_accent);
  }
  .item.new .what::before {
    background: var(--_accent);
    block-size: 0.5rem;
    border-radius: 50%;
    content: "";
    display: inline-block;
    inline-size: 0.5rem;
    margin-inline-end: 0.5rem;
  }
  .item.new .muted .what::before {
    content: none;
  }
  .select {
    align-items: center;
    display: flex;
    flex: none;
    inline-size: 2.75rem;
    justify-content: center;
    min-block-size: 2.75rem;
  }
  button.open {
    background: none;
    border: 0;
    border-radius: var(--_radius-small);
    display: grid;
    flex: 1;
    font-weight: 400;
    gap: 0.125rem;
    justify-content: stretch;
    min-inline-size: 0;
    padding: 0.75rem 1rem 0.75rem 0;
    padding-inline: 0 1rem;
    text-align: start;
  }
  button.open:first-child {
    padding-inline-start: 1rem;
  }
  button.open:hover:not(:disabled) {
    background: color-mix(in srgb, var(--_accent) 6%, transparent);
  }
  button.open:focus-visible {
    outline-offset: -3px;
  }
  .line {
    display: flex;
    flex-wrap: wrap;
    gap: 0 1rem;
    justify-content: space-between;
    min-inline-size: 0;
  }
  .line .what {
    font-weight: 600;
    min-inline-size: 0;
    overflow-wrap: anywhere;
  }
  .line.muted .what {
    /* The card shows the whole text. */
    -webkit-box-orient: vertical;
    -webkit-line-clamp: 2;
    display: -webkit-box;
    font-weight: 400;
    overflow: hidden;
  }
  .amount {
    font-weight: 600;
    margin-inline-start: auto;
    text-align: end;
  }
  .facts {
    display: flex;
    flex-wrap: wrap;
    gap: 0 0.75rem;
  }
  .nowrap,
  .risk {
    align-items: center;
    display: inline-flex;
    gap: 0.25rem;
  }
  .risk {
    font-weight: 600;
  }
  .risk.medium {
    color: var(--_warn);
  }
  .risk.high {
    color: var(--_bad);
  }
  .empty {
    border: 1px dashed var(--_line);
    border-radius: var(--_radius);
    color: var(--_muted);
    padding: 2rem 1.25rem;
    text-align: center;
  }
  .arrivals .notice {
    display: flex;
  }
  .arrivals:empty {
    display: none;
  }
  .totals {
    display: grid;
    gap: 0.25rem 1rem;
  }
  .totals dt {
    color: var(--_muted);
    font-size: 0.8125rem;
  }
  .totals dd {
    font-size: 1.125rem;
    font-weight: 650;
  }
  .keys dl {
    display: grid;
    gap: 0.375rem;
  }
  .keys dl div {
    display: grid;
    gap: 1rem;
    grid-template-columns: 7rem 1fr;
  }
  kbd {
    background: var(--_raised);
    border: 1px solid var(--_line);
    border-radius: 6px;
    font: inherit;
    font-size: 0.8125rem;
    padding: 0.0625rem 0.5rem;
  }
  @container inbox (max-width: 46rem) {
    .columns {
      grid-template-columns: minmax(0, 1fr);
    }
    .detail-column {
      position: static;
    }
    .has-detail > header,
    .has-detail > .arrivals,
    .has-detail .list-column,
    .inbox:not(.has-detail) .detail-column {
      display: none;
    }
    .back {
      display: inline-flex;
    }
  }
  @media (forced-colors: active) {
    .item.selected {
      border-inline-start: 4px solid Highlight;
    }
    .item.new .what::before {
      background: Highlight;
    }
  }
`;

import { css } from "lit";

/** The frame of a person's screen, and what the views share. */
export const frame = css`
  .frame {
    background: var(--_surface);
    border: 1px solid var(--_line);
    border-radius: 18px;
    box-shadow:
      0 1px 2px rgb(16 24 40 / 5%),
      0 12px 32px -16px rgb(16 24 40 / 18%);
    display: grid;
    grid-template-rows: auto minmax(0, 1fr);
    min-block-size: 0;
    overflow: clip;
  }
  .bar {
    align-items: center;
    border-block-end: 1px solid var(--_line);
    display: flex;
    flex-wrap: wrap;
    gap: 0.625rem 0.875rem;
    min-block-size: 4rem;
    padding: 0.625rem 1.125rem;
  }
  .bar .who {
    display: grid;
    flex: 1;
    line-height: 1.3;
    min-inline-size: 9rem;
  }
  .bar h2 {
    font-size: 1rem;
  }
  .avatar {
    background: var(--_accent-soft);
    block-size: 2.25rem;
    border-radius: 50%;
    color: var(--_accent);
    display: grid;
    flex: none;
    font-size: 0.8125rem;
    font-weight: 700;
    inline-size: 2.25rem;
    place-items: center;
  }
  .switch {
    background: var(--_raised);
    border: 1px solid var(--_line);
    border-radius: 12px;
    display: inline-flex;
    flex-wrap: wrap;
    gap: 2px;
    padding: 3px;
  }
  .switch button,
  .switch a {
    background: none;
    border: 0;
    border-radius: 9px;
    color: var(--_muted);
    font-size: 0.875rem;
    font-weight: 600;
    min-block-size: 2.25rem;
    padding: 0.25rem 0.875rem;
  }
  .switch button:hover:not([aria-pressed="true"], [aria-selected="true"]),
  .switch a:hover:not([aria-current]) {
    background: color-mix(in srgb, var(--_text) 6%, transparent);
  }
  .switch [aria-pressed="true"],
  .switch [aria-selected="true"],
  .switch [aria-current] {
    background: var(--_surface);
    box-shadow:
      0 1px 2px rgb(16 24 40 / 16%),
      0 0 0 1px var(--_line);
    color: var(--_text);
  }
  .count {
    background: var(--_accent);
    border-radius: 999px;
    color: var(--_on-accent);
    font-size: 0.6875rem;
    font-variant-numeric: tabular-nums;
    font-weight: 700;
    min-inline-size: 1.25rem;
    padding: 0 0.375rem;
    text-align: center;
  }
  .scroll {
    min-block-size: 0;
    overflow: auto;
    overscroll-behavior: contain;
    padding: 1.125rem;
  }
`;

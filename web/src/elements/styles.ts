import { css } from "lit";

/** Colours, spacing and controls of all elements. Pages override the variables `--cks-*`. */
export const base = css`
  :host {
    --_surface: var(--cks-surface, light-dark(#ffffff, #171a21));
    --_raised: var(--cks-raised, light-dark(#f6f7f9, #1f232c));
    --_line: var(--cks-line, light-dark(#dcdfe6, #343a46));
    --_control-line: var(--cks-control-line, light-dark(#7b8494, #7d8698));
    --_text: var(--cks-text, light-dark(#151922, #eceff4));
    --_muted: var(--cks-muted, light-dark(#545d6d, #a6afbf));
    --_accent: var(--cks-accent, light-dark(#2450c5, #8fb0ff));
    --_on-accent: var(--cks-on-accent, light-dark(#ffffff, #0d1530));
    --_accent-soft: var(--cks-accent-soft, light-dark(#e9effc, #222d4a));
    --_good: var(--cks-good, light-dark(#17663c, #7fd6a4));
    --_good-soft: var(--cks-good-soft, light-dark(#e4f4ea, #18331f));
    --_warn: var(--cks-warn, light-dark(#7f4a00, #f2c072));
    --_warn-soft: var(--cks-warn-soft, light-dark(#fdf1dc, #3a2c14));
    --_bad: var(--cks-bad, light-dark(#a8202b, #ff9b9b));
    --_bad-soft: var(--cks-bad-soft, light-dark(#fdeaea, #421d20));
    --_radius: var(--cks-radius, 12px);
    --_radius-small: var(--cks-radius-small, 8px);
    --_shadow: var(--cks-shadow, 0 1px 2px rgb(16 24 40 / 6%), 0 1px 8px rgb(16 24 40 / 4%));
    color: var(--_text);
    display: block;
    font: 400 0.9375rem/1.5 var(--cks-font, system-ui, sans-serif);
    text-align: start;
  }
  :host([hidden]) {
    display: none;
  }
  *,
  *::before,
  *::after {
    box-sizing: border-box;
  }
  h2,
  h3,
  h4,
  p,
  ul,
  ol,
  dl,
  dd,
  figure,
  blockquote {
    margin: 0;
    padding: 0;
  }
  ul,
  ol {
    list-style: none;
  }
  h2 {
    font-size: 1.125rem;
    font-weight: 650;
    letter-spacing: -0.01em;
    line-height: 1.35;
  }
  h3 {
    font-size: 0.9375rem;
    font-weight: 650;
  }
  h2:focus,
  h3:focus {
    outline: none;
  }
  .panel {
    background: var(--_surface);
    border: 1px solid var(--_line);
    border-radius: var(--_radius);
    box-shadow: var(--_shadow);
    padding: 1.25rem;
  }
  .muted {
    color: var(--_muted);
    font-size: 0.8125rem;
  }
  .row {
    align-items: center;
    display: flex;
    flex-wrap: wrap;
    gap: 0.5rem 0.75rem;
  }
  .spread {
    justify-content: space-between;
  }
  .stack {
    display: grid;
    gap: 1rem;
    grid-template-columns: minmax(0, 1fr);
  }
  .tight {
    gap: 0.375rem;
  }
  .number {
    font-variant-numeric: tabular-nums;
    overflow-wrap: anywhere;
  }
  .mono {
    font-family: var(--cks-mono, ui-monospace, monospace);
    font-size: 0.875em;
  }
  .wrap {
    overflow-wrap: anywhere;
    white-space: pre-wrap;
  }
  .hidden-text {
    block-size: 1px;
    clip-path: inset(50%);
    inline-size: 1px;
    overflow: hidden;
    position: absolute;
    white-space: nowrap;
  }
  button,
  .button,
  select,
  input:not([type="checkbox"]),
  textarea {
    border-radius: var(--_radius-small);
    color: inherit;
    font: inherit;
    min-block-size: 2.75rem;
  }
  button,
  .button {
    align-items: center;
    background: var(--_surface);
    border: 1px solid var(--_control-line);
    cursor: pointer;
    display: inline-flex;
    font-weight: 550;
    gap: 0.5rem;
    justify-content: center;
    padding: 0.5rem 1rem;
    text-decoration: none;
    transition: background-color 120ms;
  }
  button:hover:not(:disabled) {
    background: var(--_raised);
  }
  button:disabled,
  button[aria-disabled="true"] {
    cursor: not-allowed;
    opacity: 0.55;
  }
  button.primary {
    background: var(--_accent);
    border-color: var(--_accent);
    color: var(--_on-accent);
  }
  button.primary:hover:not(:disabled) {
    background: color-mix(in srgb, var(--_accent) 88%, var(--_text));
  }
  button.danger {
    border-color: var(--_bad);
    color: var(--_bad);
  }
  button.quiet {
    background: none;
    border-color: transparent;
    color: var(--_accent);
    padding-inline: 0.625rem;
  }
  :focus-visible {
    outline: 3px solid var(--_accent);
    outline-offset: 2px;
  }
  select,
  input:not([type="checkbox"]),
  textarea {
    font-weight: 400;
    background: var(--_surface);
    border: 1px solid var(--_control-line);
    inline-size: 100%;
    padding: 0.5rem 0.75rem;
  }
  textarea {
    min-block-size: 5rem;
    resize: vertical;
  }
  [aria-invalid="true"] {
    border-color: var(--_bad);
    border-width: 2px;
  }
  label,
  legend {
    font-size: 0.875rem;
    font-weight: 550;
  }
  .field {
    display: grid;
    gap: 0.25rem;
  }
  .check {
    align-items: center;
    display: flex;
    gap: 0.625rem;
    min-block-size: 2.75rem;
  }
  input[type="checkbox"] {
    accent-color: var(--_accent);
    block-size: 1.25rem;
    flex: none;
    inline-size: 1.25rem;
    margin: 0;
  }
  .error {
    color: var(--_bad);
    font-size: 0.875rem;
    font-weight: 550;
  }
  details > summary {
    align-items: center;
    border-radius: var(--_radius-small);
    color: var(--_accent);
    cursor: pointer;
    display: flex;
    font-weight: 550;
    gap: 0.5rem;
    list-style: none;
    min-block-size: 2.75rem;
  }
  details > summary::-webkit-details-marker {
    display: none;
  }
  details > summary::before {
    block-size: 0.45em;
    border: solid currentcolor;
    border-width: 0 2px 2px 0;
    content: "";
    flex: none;
    inline-size: 0.45em;
    margin-inline: 0.2em;
    transform: rotate(-45deg);
  }
  :host(:dir(rtl)) details:not([open]) > summary::before {
    transform: rotate(135deg);
  }
  details[open] > summary::before {
    transform: rotate(45deg) !important;
  }
  .badge {
    align-items: center;
    background: var(--_raised);
    border: 1px solid var(--_line);
    border-radius: 999px;
    color: var(--_muted);
    display: inline-flex;
    font-size: 0.8125rem;
    font-weight: 600;
    gap: 0.375rem;
    padding: 0.125rem 0.625rem;
  }
  .badge.good {
    background: var(--_good-soft);
    border-color: transparent;
    color: var(--_good);
  }
  .badge.warn {
    background: var(--_warn-soft);
    border-color: transparent;
    color: var(--_warn);
  }
  .badge.bad {
    background: var(--_bad-soft);
    border-color: transparent;
    color: var(--_bad);
  }
  .badge.accent {
    background: var(--_accent-soft);
    border-color: transparent;
    color: var(--_accent);
  }
  .notice {
    background: var(--_raised);
    border-inline-start: 4px solid var(--_control-line);
    border-radius: var(--_radius-small);
    display: grid;
    gap: 0.5rem;
    padding: 0.75rem 1rem;
  }
  .notice.good {
    background: var(--_good-soft);
    border-color: var(--_good);
  }
  .notice.warn {
    background: var(--_warn-soft);
    border-color: var(--_warn);
  }
  .notice.bad {
    background: var(--_bad-soft);
    border-color: var(--_bad);
  }
  .claim-text {
    border-inline-start: 3px solid var(--_line);
    padding-inline-start: 0.875rem;
  }
  .control-character {
    background: var(--_warn-soft);
    border-radius: 4px;
    color: var(--_warn);
    font-family: ui-monospace, monospace;
    font-size: 0.75em;
    padding: 0 0.25em;
  }
  .link-text {
    overflow-wrap: anywhere;
    text-decoration: underline;
    text-decoration-style: dotted;
  }
  a {
    color: var(--_accent);
  }
  svg.icon {
    block-size: 1em;
    fill: none;
    flex: none;
    inline-size: 1em;
    stroke: currentcolor;
    stroke-linecap: round;
    stroke-linejoin: round;
    stroke-width: 2;
  }
  .spinner {
    animation: turn 900ms linear infinite;
    block-size: 1em;
    border: 2px solid currentcolor;
    border-block-start-color: transparent;
    border-radius: 50%;
    flex: none;
    inline-size: 1em;
  }
  @keyframes turn {
    to {
      transform: rotate(1turn);
    }
  }
  @media (prefers-reduced-motion: reduce) {
    .spinner {
      animation: none;
      border-block-start-color: currentcolor;
      border-style: dotted;
    }
    * {
      transition: none !important;
    }
  }
  @media (forced-colors: active) {
    .notice,
    .badge,
    .control-character {
      border: 1px solid;
    }
    button.primary {
      border-width: 3px;
    }
    svg.icon {
      stroke: CanvasText;
    }
    button svg.icon {
      stroke: ButtonText;
    }
  }
`;

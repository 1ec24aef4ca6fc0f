import { css } from "lit";

export const cardStyles = css`
  :host {
    container-type: inline-size;
  }
  footer {
    border-block-start: 1px solid var(--_line);
    padding-block-start: 1rem;
  }
  #outcome:focus {
    outline: none;
  }
  #outcome > :empty,
  #outcome:not(:has(.notice), [data-focus]),
  [hidden] {
    display: none;
  }
  .tool {
    background: var(--_raised);
    border: 1px solid var(--_line);
    border-radius: 6px;
    font-family: var(--cks-mono, ui-monospace, monospace);
    font-size: 0.9em;
    padding: 0.0625rem 0.4em;
  }
  .everything .tree {
    margin-block-end: 0.75rem;
  }
  .hash {
    background: var(--_raised);
    border-radius: 6px;
    color: var(--_text);
    letter-spacing: 0.04em;
    padding: 0.125rem 0.5rem;
  }
  form.decision {
    background: var(--_raised);
    border: 1px solid var(--_line);
    border-radius: var(--_radius-small);
    padding: 1rem;
  }
  .review-amount {
    display: grid;
    font-size: 1.5rem;
    font-weight: 680;
  }
  .review-amount .muted {
    font-weight: 400;
  }
  h4 {
    font-size: 0.875rem;
    font-weight: 600;
    margin: 0;
  }
  .actions button {
    min-inline-size: 6.5rem;
  }
  .actions .danger {
    margin-inline-start: auto;
  }
  form .actions .danger {
    margin-inline-start: 0;
  }
  @container (max-width: 26rem) {
    .panel {
      padding: 1rem;
    }
    .actions button {
      flex: 1 1 100%;
      margin-inline-start: 0;
    }
  }
`;

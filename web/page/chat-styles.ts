import { css } from "lit";

export const chatStyles = css`
  :host {
    block-size: 100%;
    display: grid;
    grid-template-rows: minmax(0, 1fr) auto;
    min-block-size: 0;
  }
  .log {
    align-content: start;
    display: grid;
    overflow: auto;
    overscroll-behavior: contain;
    padding: 1.25rem 1.125rem;
  }
  .items {
    display: grid;
    gap: 0.75rem;
    grid-template-columns: minmax(0, 1fr);
  }
  .log:has(.welcome) {
    align-content: center;
  }
  .log:focus-visible {
    outline-offset: -3px;
  }
  .message {
    animation: rise 180ms ease-out;
    border-radius: 16px;
    inline-size: fit-content;
    max-inline-size: min(88%, 36rem);
    padding: 0.625rem 0.9375rem;
  }
  .user {
    background: var(--_accent);
    border-end-end-radius: 5px;
    color: var(--_on-accent);
    justify-self: end;
  }
  .unsent {
    opacity: 0.7;
  }
  .agent {
    background: var(--_raised);
    border: 1px solid var(--_line);
    border-end-start-radius: 5px;
  }
  .step {
    align-items: center;
    color: var(--_muted);
    display: flex;
    flex-wrap: wrap;
    font-size: 0.8125rem;
    gap: 0.5rem;
    padding-inline: 0.25rem;
  }
  .step code {
    background: var(--_raised);
    border: 1px solid var(--_line);
    border-radius: 6px;
    color: var(--_text);
    font-family: var(--cks-mono, ui-monospace, monospace);
    padding: 0 0.375rem;
  }
  .step.waits {
    color: var(--_warn);
    font-weight: 600;
  }
  .welcome {
    align-content: center;
    display: grid;
    gap: 1.25rem;
    justify-items: center;
    padding: 1rem;
    text-align: center;
  }
  .welcome h3 {
    font-size: 1.375rem;
    letter-spacing: -0.02em;
  }
  .welcome .mark {
    background: var(--_accent-soft);
    block-size: 3.25rem;
    border-radius: 16px;
    color: var(--_accent);
    display: grid;
    font-size: 1.5rem;
    inline-size: 3.25rem;
    place-items: center;
  }
  .suggestions {
    display: grid;
    gap: 0.5rem;
    inline-size: min(100%, 30rem);
  }
  .suggestions button {
    border-color: var(--_line);
    font-weight: 500;
    justify-content: space-between;
    text-align: start;
  }
  .suggestions button:hover {
    border-color: var(--_accent);
  }
  .suggestions svg {
    color: var(--_accent);
  }
  form {
    align-items: end;
    display: flex;
    gap: 0.625rem;
    padding: 0.75rem 1.125rem 1.125rem;
  }
  .box {
    background: var(--_surface);
    border: 1px solid var(--_control-line);
    border-radius: 14px;
    display: flex;
    flex: 1;
  }
  .box:focus-within {
    border-color: var(--_accent);
    box-shadow: 0 0 0 3px color-mix(in srgb, var(--_accent) 22%, transparent);
  }
  textarea {
    background: none;
    border: 0;
    field-sizing: content;
    max-block-size: 9rem;
    min-block-size: 2.75rem;
    outline: none;
    padding: 0.625rem 0.875rem;
    resize: none;
  }
  textarea::placeholder {
    color: var(--_muted);
    opacity: 1;
  }
  .note {
    border-block-start: 1px solid var(--_line);
    gap: 0.25rem 0.75rem;
    justify-content: space-between;
    min-block-size: 2.75rem;
    padding-inline: 1.125rem;
  }
  .cursor {
    animation: blink 1s steps(2) infinite;
    background: currentcolor;
    block-size: 1em;
    border-radius: 1px;
    display: inline-block;
    inline-size: 2px;
    margin-inline-start: 2px;
    vertical-align: -0.125em;
  }
  @keyframes blink {
    50% {
      opacity: 0;
    }
  }
  @keyframes rise {
    from {
      opacity: 0;
      transform: translateY(4px);
    }
  }
  @media (prefers-reduced-motion: reduce) {
    .message,
    .cursor {
      animation: none;
    }
  }
  @media (forced-colors: active) {
    .message {
      border: 1px solid;
    }
  }
`;

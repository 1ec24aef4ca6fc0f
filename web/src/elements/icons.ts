import { svg, html, type TemplateResult } from "lit";

const PATHS = {
  alert: svg`<path d="M12 3 2 20h20L12 3zm0 7v4m0 3v.01" />`,
  arrow: svg`<path d="M4 12h16m-6-6 6 6-6 6" />`,
  check: svg`<path d="m4 12 5 5L20 6" />`,
  clock: svg`<circle cx="12" cy="12" r="9" /><path d="M12 7v5l3 3" />`,
  cross: svg`<path d="M5 5l14 14M19 5 5 19" />`,
  dot: svg`<circle cx="12" cy="12" r="4" />`,
  edit: svg`<path d="m4 20 1-5L16 4l4 4L9 19l-5 1z" />`,
  help: svg`<circle cx="12" cy="12" r="9" /><path d="M9.5 9.5a2.5 2.5 0 1 1 3.5 2.3c-.7.3-1 .8-1 1.7m0 3v.01" />`,
  lock: svg`<rect x="5" y="11" width="14" height="9" rx="2" /><path d="M8 11V8a4 4 0 0 1 8 0v3" />`,
  person: svg`<circle cx="12" cy="8" r="4" /><path d="M4 21c1-5 4-7 8-7s7 2 8 7" />`,
  robot: svg`<rect x="4" y="8" width="16" height="11" rx="3" /><path d="M12 4v4M9 13v.01M15 13v.01" />`,
} as const;

type IconName = keyof typeof PATHS;

/** A name, or the drawing of an icon that few elements use. */
export type Icon = IconName | TemplateResult<2>;

/** A decorative icon. A text beside it states the same. */
export function icon(drawing: Icon): TemplateResult {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
    ${typeof drawing === "string" ? PATHS[drawing] : drawing}
  </svg>`;
}

import { svg } from "lit";

export const half = svg`<circle cx="12" cy="12" r="9" /><path d="M12 3v18" />`;
export const pause = svg`<path d="M8 5v14M16 5v14" />`;
export const ring = svg`<circle cx="12" cy="12" r="8" />`;
export const gear = svg`<circle cx="12" cy="12" r="3" /><path d="M12 3v3m0 12v3M3 12h3m12 0h3M5.6 5.6l2.1 2.1m8.6 8.6 2.1 2.1m0-12.8-2.1 2.1M7.7 16.3l-2.1 2.1" />`;

// Bundles entries as a page would, so that size-limit can weigh them. Lit is a peer: it is weighed
// alone, and is included in `all` only.

import { fileURLToPath } from "node:url";
import { rmSync } from "node:fs";
import { build } from "vite";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The entries, by the names of their bundles. */
const ENTRIES = {
  core: ["core/index.js"],
  "core-and-card": ["core/index.js", "approval-card.js"],
  "core-and-inbox": ["core/index.js", "inbox.js"],
  all: [
    "core/index.js",
    "handover-banner.js",
    "inbox.js",
    "metrics.js",
    "session-picker.js",
    "task-list.js",
    "timeline.js",
    "transcript.js",
  ],
};

const LIT = 'export { css, html, LitElement, nothing, svg } from "lit";';

rmSync(`${root}dist-size`, { recursive: true, force: true });
for (const [name, modules] of Object.entries({ ...ENTRIES, lit: [] })) {
  const isLit = name === "lit";
  const own = modules.map((module) => `export * from "${root}dist/${module}";`).join("\n");
  const code = isLit ? LIT : own;
  await build({
    configFile: false,
    root,
    logLevel: "warn",
    plugins: [
      {
        name: "entry",
        resolveId: (id) => (id === "virtual:entry" ? id : null),
        load: (id) => (id === "virtual:entry" ? code : null),
      },
    ],
    build: {
      emptyOutDir: false,
      outDir: "dist-size",
      target: "es2022",
      modulePreload: { polyfill: false },
      rollupOptions: {
        external: isLit || name === "all" ? [] : [/^lit/],
        input: "virtual:entry",
        preserveEntrySignatures: "strict",
        output: { entryFileNames: `${name}/entry.js`, chunkFileNames: `${name}/[name].js` },
      },
    },
  });
}

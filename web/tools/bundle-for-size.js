// Bundles entries as a page would, so that size-limit can weigh them. Lit is a peer, and
// included in `all` only.

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

rmSync(`${root}dist-size`, { recursive: true, force: true });
for (const [name, modules] of Object.entries(ENTRIES)) {
  const code = modules.map((module) => `export * from "${root}dist/${module}";`).join("\n");
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
        external: name === "all" ? [] : [/^lit/],
        input: "virtual:entry",
        preserveEntrySignatures: "strict",
        output: { entryFileNames: `${name}/entry.js`, chunkFileNames: `${name}/[name].js` },
      },
    },
  });
}

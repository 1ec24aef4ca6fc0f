import { defineConfig } from "vite";

/** The page of `cargo dev`, which serves it under a strict content security policy. */
export default defineConfig({
  root: "page",
  base: "./",
  build: {
    outDir: "../dist-page",
    emptyOutDir: true,
    target: "es2022",
    // The polyfill would be an inline script.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1000,
  },
});

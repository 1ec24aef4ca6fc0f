import { defineConfig } from "vite";

/** The gallery. Its tests serve the built page under a strict content security policy. */
export default defineConfig({
  root: "gallery",
  base: "./",
  build: {
    outDir: "../dist-gallery",
    emptyOutDir: true,
    target: "es2022",
    // The polyfill would be an inline script.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
});

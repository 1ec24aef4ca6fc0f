// Serves the built gallery under a strict content security policy, and opens it in Chromium.

import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium, type Browser } from "playwright";
import { build } from "vite";
import { block } from "./examples.js";

/** The policy of README.md. */
const POLICY = block("Content security policy").replace(/\s+/g, " ").trim();

const TYPES: Record<string, string> = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
};

export interface Gallery {
  url: string;
  browser: Browser;
  close: () => Promise<void>;
}

export async function openGallery(): Promise<Gallery> {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  // Otherwise Lit would be bundled in its development mode.
  process.env["NODE_ENV"] = "production";
  await build({ configFile: `${root}vite.config.ts`, logLevel: "warn" });
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    const file = pathname === "/" ? "/index.html" : pathname;
    readFile(`${root}dist-gallery${file}`).then(
      (body) => {
        response.writeHead(200, {
          "Content-Type": TYPES[extname(file)] ?? "application/octet-stream",
          "Content-Security-Policy": POLICY,
        });
        response.end(body);
      },
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const browser = await chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
  });
  return { url: `http://127.0.0.1:${port}/`, browser, close: () => closeAll(browser, server) };
}

async function closeAll(browser: Browser, server: Server): Promise<void> {
  await browser.close();
  await new Promise((resolve) => server.close(resolve));
}

// Starts `cargo dev`, and opens its page in browsers.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium, type Browser, type Page } from "playwright";
import type { Action } from "../../page/local.js";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** What Cargo builds for `cargo dev`. */
const PROGRAM = process.env["DEV_PROGRAM"] ?? `${ROOT}target/debug/examples/dev`;

const START_MS = 120_000;
const BUILD_MS = 180_000;

export interface Payment {
  invoice: string;
  amount: number;
}

export class Stack {
  /** What pages did that they must not do. */
  readonly faults: string[] = [];

  private constructor(
    readonly url: string,
    private readonly process: ChildProcess,
    private readonly folder: string,
    private readonly browser: Browser,
  ) {}

  static async start(): Promise<Stack> {
    const folder = await mkdtemp(join(tmpdir(), "chatkit-sessions-"));
    const output: string[] = [];
    // It ends when its standard input closes, also if this process is killed.
    const options = ["--port", "0", "--until-stdin-closes", "--env-file", join(folder, "env")];
    const process = spawn(PROGRAM, options, { cwd: ROOT, stdio: ["pipe", "pipe", "pipe"] });
    const url = await new Promise<string>((resolve, reject) => {
      const fail = (why: string) => {
        process.kill();
        reject(new Error(`${why}\n${output.join("\n")}`));
      };
      const timer = setTimeout(() => fail("cargo dev did not start"), START_MS);
      for (const stream of [process.stdout, process.stderr]) {
        createInterface({ input: stream }).on("line", (line) => {
          output.push(line);
          const found = /a clerk and an approver\s+(http:\/\/127\.0\.0\.1:\d+)\//.exec(line);
          if (!found?.[1]) return;
          clearTimeout(timer);
          resolve(found[1]);
        });
      }
      process.on("error", (error) => fail(String(error)));
      process.on("exit", (code) => fail(`cargo dev ended with ${code}`));
    });
    await waitForPage(url, output);
    const browser = await chromium.launch({
      executablePath: globalThis.process.env["CHROMIUM"] ?? "/usr/bin/chromium",
      args: globalThis.process.getuid?.() === 0 ? ["--no-sandbox"] : [],
    });
    return new Stack(url, process, folder, browser);
  }

  async stop(): Promise<void> {
    await this.browser.close();
    if (this.process.exitCode === null) {
      this.process.kill("SIGTERM");
      await once(this.process, "exit");
    }
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Opens the page in a browser of its own, as another person or device. */
  async open(query: string, options: BrowserOptions = {}): Promise<Page> {
    const context = await this.browser.newContext({ locale: "en-GB", ...options });
    const page = await context.newPage();
    this.#watch(page);
    await page.goto(`${this.url}/${query}`);
    return page;
  }

  /** The payments that the agent has made, as it says itself. */
  async payments(invoice: string): Promise<Payment[]> {
    const response = await fetch(`${this.url}/local/actions`);
    const { actions } = (await response.json()) as { actions: Action[] };
    const paid = actions.filter(({ kind, data }) => kind === "paid" && data.invoice === invoice);
    return paid.map(({ data }) => data);
  }

  /** The number of violations of the policy that browsers have reported. */
  async violations(): Promise<number> {
    const response = await fetch(`${this.url}/local/violations`);
    return ((await response.json()) as { violations: number }).violations;
  }

  #watch(page: Page): void {
    page.on("pageerror", (error) => this.faults.push(`error: ${error.message}`));
    page.on("dialog", (dialog) => {
      this.faults.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("console", (message) => {
      const text = message.text();
      if (/Content Security Policy|Trusted/.test(text)) this.faults.push(`policy: ${text}`);
    });
    page.on("request", (request) => {
      const { hostname, protocol } = new URL(request.url());
      const isOwn = hostname === "127.0.0.1" && protocol === "http:";
      if (!isOwn) this.faults.push(`request: ${request.url()}`);
    });
  }
}

type BrowserOptions = NonNullable<Parameters<Browser["newContext"]>[0]>;

async function waitForPage(url: string, output: string[]): Promise<void> {
  const end = Date.now() + BUILD_MS;
  while (Date.now() < end) {
    const response = await fetch(url);
    if (response.ok) return;
    if (response.status !== 503) break;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  throw new Error(`The page was not built.\n${output.join("\n")}`);
}

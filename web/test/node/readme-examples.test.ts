// The examples of README.md run in Chromium: the built package against a double of the API.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { chromium, type Browser, type Page, type Route } from "playwright";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { build } from "vite";
import * as fixtures from "../../gallery/fixtures.js";
import { block, examples } from "./examples.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FOLDER = `${ROOT}dist-examples-run`;
const API = "https://api.example.com";

/** Uses each example as a page does. Its functions are called with what a page has. */
const MAIN = `
import { createElement } from "react";
import { createRoot } from "react-dom/client";
import { connectChat } from "./chat.js";
import { Desk } from "./desk.js";
import { showSession } from "./session.js";
const example = new URLSearchParams(location.search).get("example");
if (example === "inbox") await import("./inbox.js");
if (example === "german") await Promise.all([import("./inbox.js"), import("./german.js")]);
if (example === "decide") await import("./decide.js");
if (example === "session") {
  await Promise.all([import("chatkit-sessions-web/task-list"), import("chatkit-sessions-web/transcript")]);
  showSession("${fixtures.SESSIONS[0]?.id}");
}
if (example === "desk") {
  createRoot(document.querySelector("#react")).render(createElement(Desk, { userId: "${fixtures.APPROVER}" }));
}
if (example === "chat") {
  const chat = new EventTarget();
  chat.setOptions = (options) => Object.assign(window, { options });
  chat.setThreadId = () => Promise.resolve();
  await connectChat(chat);
}
document.body.dataset.ready = example;
`;

const HTML = `<!doctype html><html lang="en"><title>Examples</title><body>
<cks-inbox user-id="${fixtures.APPROVER}"></cks-inbox><cks-approval-card></cks-approval-card>
<cks-task-list></cks-task-list><cks-transcript></cks-transcript><div id="react"></div>
<script type="module" src="./main.ts"></script></body></html>`;

let browser: Browser;
let server: Server;
let url: string;

beforeAll(async () => {
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER);
  for (const { name, code } of examples()) writeFileSync(`${FOLDER}/${name}`, code);
  // Otherwise the package's list of modules with side effects would apply.
  writeFileSync(`${FOLDER}/package.json`, "{}");
  writeFileSync(`${FOLDER}/main.ts`, MAIN);
  writeFileSync(`${FOLDER}/index.html`, HTML);
  process.env["NODE_ENV"] = "production";
  await build({
    configFile: false,
    root: FOLDER,
    logLevel: "warn",
    build: { target: "es2022", outDir: "dist", modulePreload: { polyfill: false } },
    resolve: {
      // As the package is installed in an application.
      alias: [
        { find: /^chatkit-sessions-web\/core$/, replacement: `${ROOT}dist/core/index.js` },
        { find: /^chatkit-sessions-web\/(.*)$/, replacement: `${ROOT}dist/$1.js` },
      ],
    },
  });
  server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    const file = `${FOLDER}/dist${pathname === "/" ? "/index.html" : pathname}`;
    const type = file.endsWith(".js") ? "text/javascript" : "text/html";
    response.writeHead(200, { "Content-Type": type }).end(readFileSync(file));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  browser = await chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
  });
});

afterAll(async () => {
  await browser?.close();
  server?.close();
  rmSync(FOLDER, { recursive: true, force: true });
});

/** The API's answers, by method and path. Decisions are recorded. */
function answer(route: Route, decisions: unknown[]): Promise<void> {
  const request = route.request();
  const { pathname } = new URL(request.url());
  const headers = { "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*" };
  const json = (body: unknown, status = 200) => route.fulfill({ status, json: body, headers });
  const shown = ESCALATION;
  if (request.method() === "OPTIONS") return route.fulfill({ status: 204, headers });
  if (pathname.endsWith("/decision")) {
    decisions.push(request.postDataJSON());
    return json({ escalationId: shown.id, decision: "approve" });
  }
  if (pathname === "/chatkit/agents") return json({ agents: fixtures.AGENTS, nextCursor: null });
  if (pathname === "/chatkit/changes") {
    return json({ changes: [], incomplete: false, counts: null, cursor: "c" });
  }
  if (pathname === "/chatkit/escalations") return json({ escalations: [shown], nextCursor: null });
  if (pathname.startsWith("/chatkit/escalations/")) {
    return json(decisions.length > 0 ? fixtures.resolved("approve", { id: shown.id }) : shown);
  }
  if (pathname.endsWith("/messages"))
    return json({ messages: fixtures.MESSAGES, nextCursor: null });
  if (request.method() === "POST") return json(OPENED, 201);
  return json({ ...fixtures.SESSIONS[0], tasks: fixtures.TASKS, events: [], escalations: [] });
}

const ESCALATION = fixtures.escalation({ risk: "medium" });
const OPENED = {
  ...fixtures.SESSIONS[0],
  chatkit: {
    provider: "self_hosted",
    clientSecret: "ek_1",
    apiUrl: "https://chat.example.com/chatkit",
    domainKey: "domain_pk_1",
    startScreen: { greeting: "Good morning" },
  },
};

async function run(example: string): Promise<{ page: Page; decisions: unknown[] }> {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  const decisions: unknown[] = [];
  await page.route(`${API}/**`, (route) => answer(route, decisions));
  await page.goto(`${url}?example=${example}`);
  await page.locator(`body[data-ready=${example}]`).waitFor();
  return { page, decisions };
}

async function approve(page: Page, card: string): Promise<void> {
  await page.locator(card).getByRole("button", { name: "Approve", exact: true }).click();
}

describe("examples of README.md", () => {
  const decision = { decision: "approve", subjectHash: fixtures.HASH };

  test.each(["inbox", "desk"])("%s_shows_requests_and_sends_decisions", async (example) => {
    const { page, decisions } = await run(example);
    const inbox = example === "desk" ? "#react cks-inbox" : "body > cks-inbox";
    await page.locator(`${inbox} button.open`, { hasText: "Northwind Paper GmbH" }).click();
    await approve(page, `${inbox} cks-approval-card`);
    await page.locator(inbox, { hasText: "Approved by" }).waitFor();
    expect(decisions).toEqual([decision]);
    await page.close();
  });

  test("custom_properties_change_the_design", async () => {
    const { page } = await run("inbox");
    await page.addStyleTag({ content: block("Colours and fonts") });
    await page.locator("body > cks-inbox button.open").first().click();
    const button = page.locator("body > cks-inbox cks-approval-card #decide-approve");
    const style = await button.evaluate((shown) => {
      const { backgroundColor, color, fontFamily } = getComputedStyle(shown);
      const article = shown.closest("article") as HTMLElement;
      return { backgroundColor, color, fontFamily, radius: getComputedStyle(article).borderRadius };
    });
    expect(style).toEqual({
      backgroundColor: "rgb(11, 110, 79)",
      color: "rgb(255, 255, 255)",
      fontFamily: "Inter, sans-serif",
      radius: "6px",
    });
    await page.close();
  });

  test("german_shows_german_texts", async () => {
    const { page } = await run("german");
    await page.locator("body > cks-inbox", { hasText: "Northwind Paper GmbH" }).waitFor();
    expect(await page.locator("body > cks-inbox h2").first().innerText()).toBe(
      "Zu entscheidende Anfragen",
    );
    await page.close();
  });

  test("decide_sends_what_the_card_emits", async () => {
    const { page, decisions } = await run("decide");
    await page
      .locator("body > cks-approval-card")
      .evaluate((card, escalation) => Object.assign(card, { escalation }), ESCALATION);
    await approve(page, "body > cks-approval-card");
    await page.locator("body > cks-approval-card", { hasText: "Approved" }).waitFor();
    expect(decisions).toEqual([decision]);
    await page.close();
  });

  test("session_shows_tasks_and_messages", async () => {
    const { page } = await run("session");
    await page.locator("cks-task-list li").first().waitFor();
    await page.locator("cks-transcript li").first().waitFor();
    expect(await page.locator("cks-task-list li").count()).toBe(fixtures.TASKS.length);
    expect(await page.locator("cks-transcript li").count()).toBe(fixtures.MESSAGES.length);
    await page.close();
  });

  test("chat_configures_chatkit_for_the_provider", async () => {
    const { page } = await run("chat");
    const options = await page.evaluate(() => {
      const { api, ...rest } = (window as unknown as { options: { api: object } }).options;
      return { api: JSON.parse(JSON.stringify(api)) as unknown, names: Object.keys(rest).sort() };
    });
    expect(options).toEqual({
      api: { url: OPENED.chatkit.apiUrl, domainKey: OPENED.chatkit.domainKey },
      names: ["onClientTool", "startScreen", "widgets"],
    });
    await page.close();
  });
});

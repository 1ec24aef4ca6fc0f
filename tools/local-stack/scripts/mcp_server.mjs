// A server of MCP's TypeScript SDK, with sessions in its process. Arguments: the folder of the SDK,
// and the status of responses to requests in an unknown session. Its first line of output is the
// port.
//
// It exits when its standard input closes.

import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, status] = process.argv.slice(2);
const require = createRequire(join(folder, "server.js"));
const { McpServer } = require("@modelcontextprotocol/sdk/server/mcp.js");
const { StreamableHTTPServerTransport } = require("@modelcontextprotocol/sdk/server/streamableHttp.js");
const { isInitializeRequest } = require("@modelcontextprotocol/sdk/types.js");
const { z } = require("zod");

const ours = { status: "needs_hitl", message: "May I?", ask: { reason: "Large.", risk: "medium" } };
const own = { status: "success", paid: true };
const text = (text) => ({ type: "text", text });
const answers = {
  structured: { content: [text(JSON.stringify(ours))], structuredContent: ours },
  text: { content: [text(JSON.stringify(ours))] },
  own: { content: [text(JSON.stringify(own, null, 2))] },
  own_structured: { content: [text(JSON.stringify(own))], structuredContent: own },
  plain: { content: [text("All is well.")] },
  failed: { content: [text("The books are closed.")], isError: true },
  files: {
    content: [
      text("Two files."),
      { type: "resource_link", uri: "https://example.com/42.pdf", name: "42.pdf", mimeType: "application/pdf" },
      { type: "image", data: Buffer.from("hello").toString("base64"), mimeType: "image/png" },
      { type: "resource", resource: { uri: "file:///42.csv", mimeType: "text/csv", blob: Buffer.from("a;b").toString("base64") } },
    ],
  },
};

let calls = 0;

function makeServer() {
  const server = new McpServer({ name: "reference", version: "1.0.0" });
  server.registerTool("answer", { inputSchema: { with: z.string() } }, (input) => answers[input.with]);
  // A tool that was not written for the contract.
  const pay = { description: "Pays an invoice.", inputSchema: { invoice_id: z.string(), amount: z.number() } };
  server.registerTool("pay", pay, ({ invoice_id, amount }, { _meta }) => {
    const meta = Object.fromEntries(Object.entries(_meta).filter(([name]) => name.includes("/")));
    const paid = { invoice: invoice_id, amount, meta };
    return { content: [text(JSON.stringify(paid))], structuredContent: paid };
  });
  server.registerTool("handle_event", { inputSchema: { session: z.any(), event: z.any(), idempotencyKey: z.string() } }, (input) => {
    calls += 1;
    return answers[input.event.payload.data?.answer] ?? answers.plain;
  });
  return server;
}

const sessions = new Map();

function reject(response, status, message) {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify({ jsonrpc: "2.0", error: { code: -32000, message }, id: null }));
}

async function handle(request, response) {
  if (request.url === "/calls") {
    return response.end(JSON.stringify({ calls, sessions: sessions.size }));
  }
  let body = "";
  for await (const chunk of request) body += chunk;
  const message = body ? JSON.parse(body) : undefined;
  const id = request.headers["mcp-session-id"];
  let transport = sessions.get(id);
  if (!transport && id) {
    return reject(response, Number(status), "Session not found");
  }
  if (!transport && !isInitializeRequest(message)) {
    return reject(response, 400, "Bad Request: No valid session ID provided");
  }
  if (!transport) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      onsessioninitialized: (id) => sessions.set(id, transport),
      onsessionclosed: (id) => sessions.delete(id),
    });
    await makeServer().connect(transport);
  }
  await transport.handleRequest(request, response, message);
}

const listener = createServer((request, response) =>
  handle(request, response).catch((error) => {
    console.error(error);
    response.destroy();
  }),
);
listener.listen(0, "127.0.0.1", () => console.log(listener.address().port));
process.stdin.on("end", () => process.exit(0)).resume();

// TypeScript SDK 1.x.
import { createRequire } from "node:module";
import process from "node:process";
import { CHANGE, SUBJECT, URL_, headers, perform } from "./stage.mjs";

const require = createRequire(`${process.env.MCP_PACKAGES}/`);
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = require("@modelcontextprotocol/sdk/client/streamableHttp.js");
const types = require("@modelcontextprotocol/sdk/types.js");

const capabilities = { elicitation: {}, sampling: {} };
const client = new Client({ name: "typescript1", version: "1.0.0" }, { capabilities });
client.setRequestHandler(types.ElicitRequestSchema, () => ({ action: "accept", content: { name: "Ada" } }));
client.setRequestHandler(types.CreateMessageRequestSchema, () => ({
  role: "assistant",
  model: "test",
  content: { type: "text", text: "Paris" },
}));
let told;
const updated = new Promise((go) => (told = go));
client.setNotificationHandler(types.ResourceUpdatedNotificationSchema, () => told());

const transport = new StreamableHTTPClientTransport(new URL(URL_), { requestInit: { headers } });
await client.connect(transport);
const call = (name, given, options) => client.callTool({ name, arguments: given }, undefined, options);
await perform({
  name: "typescript1",
  version: () => transport.protocolVersion,
  list: async () => (await client.listTools()).tools,
  call,
  subscription: async () => {
    await client.subscribeResource({ uri: SUBJECT });
    await call(CHANGE, {});
    await updated;
    await client.unsubscribeResource({ uri: SUBJECT });
    return [true, "updated"];
  },
});
await transport.terminateSession().catch(() => {});
process.exit(0);

// TypeScript SDK 1.x.
import { createRequire } from "node:module";

const require = createRequire(`${process.env.MCP_PACKAGES}/`);
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = require("@modelcontextprotocol/sdk/client/streamableHttp.js");

const headers = { Authorization: `Bearer ${process.env.MCP_TOKEN}` };
const transport = new StreamableHTTPClientTransport(new URL(process.env.MCP_URL), { requestInit: { headers } });
const client = new Client({ name: "typescript1", version: "1.0.0" });
await client.connect(transport);
const { tools } = await client.listTools();
const called = await client.callTool({ name: process.env.MCP_TOOL, arguments: JSON.parse(process.env.MCP_ARGUMENTS) });
const version = transport.protocolVersion;
console.log(JSON.stringify({ tools: tools.map((tool) => tool.name), text: called.content[0].text, version }));
await transport.terminateSession();
await client.close();

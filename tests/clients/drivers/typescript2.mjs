// TypeScript SDK 2.x. `MCP_MODE`: auto, legacy, or a modern revision.
import { createRequire } from "node:module";

const require = createRequire(`${process.env.MCP_PACKAGES}/`);
const { Client, StreamableHTTPClientTransport } = require("@modelcontextprotocol/client");

const mode = process.env.MCP_MODE;
const versionNegotiation = { mode: ["auto", "legacy"].includes(mode) ? mode : { pin: mode } };
const headers = { Authorization: `Bearer ${process.env.MCP_TOKEN}` };
const transport = new StreamableHTTPClientTransport(new URL(process.env.MCP_URL), { requestInit: { headers } });
const client = new Client({ name: "typescript2", version: "1.0.0" }, { versionNegotiation });
await client.connect(transport);
const { tools } = await client.listTools();
const called = await client.callTool({ name: process.env.MCP_TOOL, arguments: JSON.parse(process.env.MCP_ARGUMENTS) });
console.log(JSON.stringify({ tools: tools.map((tool) => tool.name), text: called.content[0].text }));
await client.close();

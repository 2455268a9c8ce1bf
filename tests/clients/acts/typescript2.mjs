// TypeScript SDK 2.x. `MCP_MODE`: auto, legacy, or a modern revision.
import { createRequire } from "node:module";
import process from "node:process";
import { CHANGE, MODE, SUBJECT, URL_, headers, perform } from "./stage.mjs";

const require = createRequire(`${process.env.MCP_PACKAGES}/`);
const { Client, StreamableHTTPClientTransport } = require("@modelcontextprotocol/client");

const versionNegotiation = { mode: ["auto", "legacy"].includes(MODE) ? MODE : { pin: MODE } };
const capabilities = { elicitation: { form: {} }, sampling: {} };
const client = new Client({ name: "typescript2", version: "1.0.0" }, { versionNegotiation, capabilities });
client.setRequestHandler("elicitation/create", () => ({ action: "accept", content: { name: "Ada" } }));
client.setRequestHandler("sampling/createMessage", () => ({
  role: "assistant",
  model: "test",
  content: { type: "text", text: "Paris" },
}));
let told;
const updated = new Promise((go) => (told = go));
client.setNotificationHandler("notifications/resources/updated", () => told());

await client.connect(new StreamableHTTPClientTransport(new URL(URL_), { requestInit: { headers } }));
const call = (name, given, options) => client.callTool({ name, arguments: given }, options);
const version = () => client.getNegotiatedProtocolVersion();
await perform({
  name: "typescript2",
  version,
  list: async () => (await client.listTools()).tools,
  call,
  subscription: async () => {
    if (String(version()).startsWith("2026")) {
      const subscription = await client.listen({ resourceSubscriptions: [SUBJECT] });
      await call(CHANGE, {});
      await updated;
      await subscription.close();
      return [true, "updated"];
    }
    await client.subscribeResource({ uri: SUBJECT });
    await call(CHANGE, {});
    await updated;
    await client.unsubscribeResource({ uri: SUBJECT });
    return [true, "updated"];
  },
});
process.exit(0);

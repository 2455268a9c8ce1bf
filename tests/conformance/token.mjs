// Adds the bearer token of $MANTLET_TOKEN to every request of the suite, which has no option for one:
// `node --import ./token.mjs conformance …`. Node tells its diagnostics channels of each request before it is sent:
// one channel for fetch, one for node:http (the header scenarios use that, to send names as they like).
import diagnostics_channel from "node:diagnostics_channel";

const token = process.env.MANTLET_TOKEN;
if (token) {
  const value = `Bearer ${token}`;
  diagnostics_channel.subscribe("undici:request:create", ({ request }) => {
    const names = Array.isArray(request.headers) ? request.headers.filter((_, i) => i % 2 === 0) : [];
    if (!names.some((name) => String(name).toLowerCase() === "authorization")) {
      request.addHeader("authorization", value);
    }
  });
  diagnostics_channel.subscribe("http.client.request.created", ({ request }) => {
    if (!request.hasHeader("authorization")) {
      request.setHeader("authorization", value);
    }
  });
}

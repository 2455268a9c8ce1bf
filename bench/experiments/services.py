"""Calls to a plain HTTP service, beside tool calls of the same size to the same server."""

from bench.experiments.columns import COLUMNS, rows
from bench.lab import MANTLET, Lab, Table, era_arguments, through
from bench.rig.gateway import http
from bench.rounds import Target

CONCURRENCIES = (1, 16)


def services(lab: Lab) -> list[Table]:
    """The same messages: as tool calls, and as JSON that is none of the node's affair beyond its being well-formed."""
    upstream = lab.direct("http_echo", *era_arguments("modern"))
    url = f"http://127.0.0.1:{upstream.port}"
    service = {"name": "plain", "url": url}
    gateway = lab.gateway("services", [http("echo", f"{url}/mcp")], http_upstreams=[service])  # type: ignore[arg-type]
    if gateway is None:
        return []
    tool = through(gateway, "echo", label=f"{MANTLET}: tools/call")
    post = Target(f"{MANTLET}: POST /api", tool.port, "/api/plain/mcp", tool.tokens, tool.meter)
    tables = []
    for concurrency in CONCURRENCIES:
        series = lab.compare([upstream, tool, post], concurrency=concurrency)
        lab.keep(f"services.{concurrency}", series)
        tables.append(Table(f"Plain HTTP services, concurrency {concurrency}", COLUMNS, rows(series)))
    return tables

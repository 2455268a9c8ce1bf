"""What the demo prints when it is ready: how to call it, to be copied as it stands."""

import json
import shlex
import shutil
import sys
from typing import Final

from mantlet.ops.demo.plan import Plan
from mantlet.wire.mcp.methods import META_CAPABILITIES, META_VERSION, MODERN_VERSIONS

TOOL: Final = "get_current_time"
ARGUMENTS: Final = {"timezone": "Europe/Berlin"}


def guide(plan: Plan) -> str:
    """The whole text. Keys stand in it: it is for the terminal of whoever started the demo."""
    config = shlex.quote(str(plan.config))
    mantlet = "mantlet" if shutil.which("mantlet") else f"{shlex.quote(sys.executable)} -m mantlet"
    return f"""\
Mantlet is ready: two MCP servers as one at {plan.url}

An administrator's key, and a visitor's who may only ask for the time:
  {plan.admin_key}
  {plan.visitor_key}

From the shell:
{_indented(curl(plan))}

From Python (pip install 'mcp>=2'):

{python(plan)}

In the configuration of an MCP client:
{_indented(client_json(plan))}

With Mantlet's own commands, in another terminal:
  {mantlet} tools -c {config}
  {mantlet} call add a=1 b=2 -c {config}
  {mantlet} health -c {config}
  {mantlet} events tail -c {config}

One server alone:  {plan.url}/time  {plan.url}/notes
Admin and metrics: {plan.admin_url}/health  {plan.admin_url}/metrics
Configuration:     {plan.config}
Audit trail:       {plan.config.parent}/var/audit

Ctrl-C ends everything, and removes the folder above."""


def curl(plan: Plan) -> str:
    """One modern `tools/call`."""
    version = MODERN_VERSIONS[0]
    meta = {META_VERSION: version, META_CAPABILITIES: {}}
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": TOOL, "arguments": ARGUMENTS, "_meta": meta},
    }
    lines = [
        f"curl -s {plan.url}",
        f"-H 'Authorization: Bearer {plan.admin_key}'",
        "-H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream'",
        f"-H 'MCP-Protocol-Version: {version}' -H 'Mcp-Method: tools/call' -H 'Mcp-Name: {TOOL}'",
        f"-d {shlex.quote(json.dumps(message))}",
    ]
    return " \\\n  ".join(lines)


def python(plan: Plan) -> str:
    """A whole program on the official SDK; not indented in the guide either, or Python would not take the copy."""
    return f"""\
import asyncio, httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

async def main():
    headers = {{"Authorization": "Bearer {plan.admin_key}"}}
    async with httpx2.AsyncClient(headers=headers) as http:
        async with Client(streamable_http_client("{plan.url}", http_client=http)) as client:
            print((await client.call_tool("{TOOL}", {json.dumps(ARGUMENTS)})).content)

asyncio.run(main())"""


def client_json(plan: Plan) -> str:
    """The block that MCP clients read."""
    server = {"type": "http", "url": plan.url, "headers": {"Authorization": f"Bearer {plan.admin_key}"}}
    return json.dumps({"mcpServers": {"mantlet": server}}, indent=2)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())

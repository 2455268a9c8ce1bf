"""An MCP server with everything the conformance scenarios ask a server for, on the official SDK.

`python tests/conformance/program --port 3001`, or `--stdio`. The names and the answers are the suite's
(`conformance list`, and each scenario's own description); nothing here is Mantlet's.
"""

import argparse
import secrets
import warnings

import offers
import tools
import uvicorn
from mcp.server.mcpserver import MCPServer, RequestStateSecurity
from mcp.shared.exceptions import MCPDeprecationWarning
from replay import Replay

import rounds


def build() -> MCPServer:
    """The server, with every tool, prompt and resource."""
    server: MCPServer = MCPServer(
        name="mantlet-conformance",
        version="1.0.0",
        log_level="WARNING",
        # Sealing is the SDK's: a scenario changes a byte of requestState and wants it refused.
        request_state_security=RequestStateSecurity(keys=[secrets.token_bytes(32)]),
    )
    tools.add_to(server)
    rounds.add_to(server)
    offers.add_to(server)
    return server


def main() -> None:
    """Serve on loopback until told to stop, or the program that started this one."""
    parser = argparse.ArgumentParser(description=__doc__)
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--port", type=int)
    way.add_argument("--stdio", action="store_true")
    # The legacy half of the suite needs calls that 2026-07-28 deprecates.
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    options = parser.parse_args()
    if options.stdio:
        build().run("stdio")
        return
    port: int = options.port
    app = build().streamable_http_app(event_store=Replay(), retry_interval=100)
    # h11, because httptools leaves the blanks after a header's value in place, and a scenario looks.
    uvicorn.run(app, host="127.0.0.1", port=port, http="h11", log_level="warning")


if __name__ == "__main__":
    main()

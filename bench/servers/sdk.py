"""A real server on the official SDK: `python -m bench.servers.sdk --port 3000` (or without a port: stdio)."""

import argparse

from mcp.server.mcpserver import MCPServer


def echo(message: str) -> str:
    """Give back what was given."""
    return message


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int)
    port: int | None = parser.parse_args().port
    server: MCPServer = MCPServer(name="sdk-echo", version="1.0.0", log_level="ERROR")
    server.add_tool(echo, structured_output=False)
    if port is None:
        server.run("stdio")
    else:
        server.run("streamable-http", host="127.0.0.1", port=port, json_response=True)


if __name__ == "__main__":
    main()

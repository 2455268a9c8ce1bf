"""MCP servers behind a TCP socket: newline-delimited JSON-RPC, a first `auth` where a token is configured."""

"""MCP servers behind a WebSocket: one message a text message, subprotocol `mcp`."""

"""The ways to an MCP server, a folder each."""

"""Another node as an MCP server: it speaks both eras, so nothing is asked and nothing bridged on the way to it."""

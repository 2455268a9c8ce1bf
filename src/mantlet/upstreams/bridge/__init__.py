"""Any client to any server: what one era of MCP says, told in the other's words."""

"""What one era of MCP says, in the words of the other. Pure."""

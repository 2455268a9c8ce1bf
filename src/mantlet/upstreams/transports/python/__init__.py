"""MCP servers that are Python objects, run in this process: in a thread and an event loop of their own."""

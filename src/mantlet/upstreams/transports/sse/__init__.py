"""MCP servers behind HTTP+SSE, as the revision of 2024-11-05 has it: a stream of events down, POSTs up."""

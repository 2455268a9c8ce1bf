"""MCP servers behind HTTP+SSE, as the revision of 2024-11-05 has it: a stream of events down, POSTs up."""

from mantlet.upstreams.transports.sse.config import SseServerConfig
from mantlet.upstreams.transports.sse.connector import SseConnector

__all__ = ["SseConnector", "SseServerConfig"]

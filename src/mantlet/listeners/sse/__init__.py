"""Clients of MCP's first HTTP transport (2024-11-05): a stream to hear on, and a URL to post to."""

from mantlet.listeners.sse.config import SseConfig
from mantlet.listeners.sse.policy import SseClients

__all__ = ["SseClients", "SseConfig"]

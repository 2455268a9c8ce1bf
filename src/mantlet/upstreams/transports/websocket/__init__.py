"""MCP servers behind a WebSocket: one message a text message, subprotocol `mcp`."""

from mantlet.upstreams.transports.websocket.config import WebSocketServerConfig
from mantlet.upstreams.transports.websocket.connector import WebSocketConnector

__all__ = ["WebSocketConnector", "WebSocketServerConfig"]

"""The WebSocket listener: MCP and JSON-RPC messages, one a text message (RFC 6455)."""

from mantlet.listeners.websocket.config import WebSocketConfig

__all__ = ["WebSocketConfig"]

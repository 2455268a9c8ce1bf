"""Connections that carry bare messages: what WebSocket, TCP, stdio and HTTP+SSE clients have in common."""

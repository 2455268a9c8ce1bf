"""The TCP listener: JSON-RPC messages, one a line, after an `auth` that gives a session."""

from mantlet.listeners.tcp.config import TcpConfig

__all__ = ["TcpConfig"]

"""MCP servers behind a TCP socket: newline-delimited JSON-RPC, a first `auth` where a token is configured."""

from mantlet.upstreams.transports.tcp.config import TcpServerConfig
from mantlet.upstreams.transports.tcp.connector import TcpConnector

__all__ = ["TcpConnector", "TcpServerConfig"]

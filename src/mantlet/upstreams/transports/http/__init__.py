"""MCP servers behind streamable HTTP, both eras."""

from mantlet.upstreams.transports.http.config import HttpServerConfig
from mantlet.upstreams.transports.http.server import HttpServer

__all__ = ["HttpServer", "HttpServerConfig"]

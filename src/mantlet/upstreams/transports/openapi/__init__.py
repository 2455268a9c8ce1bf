"""A plain HTTP service described by OpenAPI 3, presented as an MCP server: an operation is a tool."""

from mantlet.upstreams.transports.openapi.config import OpenApiServerConfig
from mantlet.upstreams.transports.openapi.server import OpenApiServer

__all__ = ["OpenApiServer", "OpenApiServerConfig"]

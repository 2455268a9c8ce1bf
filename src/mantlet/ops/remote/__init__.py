"""A running node, from outside: its admin API and its MCP endpoint, by plain HTTP."""

from mantlet.ops.remote.admin import Admin
from mantlet.ops.remote.http import Address, NodeError, NodeUnreachable, Refused
from mantlet.ops.remote.mcp import Mcp, ToolCallFailed

__all__ = ["Address", "Admin", "Mcp", "NodeError", "NodeUnreachable", "Refused", "ToolCallFailed"]

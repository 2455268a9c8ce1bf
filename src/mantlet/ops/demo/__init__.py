"""`mantlet demo`: two real MCP servers behind a gateway on embedded defaults, and how to call them."""

from mantlet.ops.demo.play import run

__all__ = ["run"]

"""One in-process Python server of `mcp.servers`, as the operator writes it."""

import re
from typing import Final, Literal

from mantlet.upstreams.transports.channel.config import ChannelConfig

_DOTTED: Final = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_OBJECT: Final = re.compile(rf"{_DOTTED}:{_DOTTED}")


class PythonServerConfig(ChannelConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server object of the MCP SDK (1.x or 2.x) or of FastMCP, or a function without arguments that makes one.

    Its code runs inside the node, with all that the node may do: there is no sandbox around it. A node of several
    workers runs it in each.
    """

    object: str
    """`package.module:attribute`; the module is imported once, at start. A function is asked for each channel."""
    transport: Literal["python"] = "python"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _OBJECT.fullmatch(self.object):
            raise ValueError("object must be written as package.module:attribute")

"""Which arguments of which tools are mirrored in headers, learnt from the lists that pass."""

from collections import OrderedDict
from typing import Final

from mantlet.wire.mcp.annotated_tools import HINT, ToolPage
from mantlet.wire.mcp.header_values import ParamPaths

MAX_TOOLS: Final = 1_000
"""Annotated tools remembered of a server; the longest unseen is forgotten, and learnt anew when it is called."""


class Tools:
    """What one server says of its tools is the same for every caller, so one table serves all of them."""

    def __init__(self) -> None:
        self._paths: OrderedDict[str, ParamPaths] = OrderedDict()

    def paths(self, tool: str) -> ParamPaths:
        """The mirrored arguments of a tool, as far as known."""
        return self._paths.get(tool, {}) if self._paths else {}

    def learn(self, message: bytes) -> str | None:
        """Take in one answer to `tools/list`; gives the cursor of the next page."""
        if not self._paths and HINT not in message and b'"nextCursor"' not in message:
            return None
        page = ToolPage(message)
        for tool, paths in page.tools():
            if paths:
                self._paths[tool] = paths
                self._paths.move_to_end(tool)
            else:
                self._paths.pop(tool, None)
            if len(self._paths) > MAX_TOOLS:
                self._paths.popitem(last=False)
        return page.cursor

"""Which tools of which server have arguments that are mirrored in headers, learnt from the lists that pass."""

from collections import OrderedDict
from typing import Final

from mantlet.wire.mcp.annotated_tools import HINT, ToolPage
from mantlet.wire.mcp.header_values import ParamPaths

MAX_TOOLS: Final = 1_000
"""Annotated tools remembered of one server; the longest unseen is forgotten, and then its server alone checks it."""
MAX_PARAMS: Final = 32
"""Mirrored arguments of one tool; with more, none of them is checked here."""


class Annotations:
    """What a server says of a tool is the same for every caller, so one table serves all of them."""

    def __init__(self, max_tools: int = MAX_TOOLS) -> None:
        self._max_tools = max_tools
        self._tools: dict[str, OrderedDict[str, ParamPaths]] = {}

    def of(self, server: str, tool: str) -> ParamPaths | None:
        """The mirrored arguments of a tool; None when it has none, or was never seen."""
        tools = self._tools.get(server)
        return None if tools is None else tools.get(tool)

    def learn(self, server: str, message: bytes) -> None:
        """Take in one `tools/list` answer. Costs a search for one word where no tool is annotated."""
        known = self._tools.get(server)
        if known is None and HINT not in message:
            return
        for tool, paths in ToolPage(message).tools():
            self._note(server, tool, paths)

    def _note(self, server: str, tool: str, paths: ParamPaths) -> None:
        if not paths or len(paths) > MAX_PARAMS:
            if (known := self._tools.get(server)) is not None:
                known.pop(tool, None)
            return
        known = self._tools.setdefault(server, OrderedDict())
        known[tool] = paths
        known.move_to_end(tool)
        if len(known) > self._max_tools:
            known.popitem(last=False)

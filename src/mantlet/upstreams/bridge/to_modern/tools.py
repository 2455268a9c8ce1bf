"""Which arguments of which tools are mirrored in headers, learnt from the lists that pass."""

from collections import OrderedDict
from typing import Any, Final

import msgspec

from mantlet.wire.mcp.header_values import ANNOTATION, ParamPaths, annotated

MAX_TOOLS: Final = 1_000
"""Annotated tools remembered of a server; the longest unseen is forgotten, and learnt anew when it is called."""

_HINT: Final = ANNOTATION.encode()


class _Tool(msgspec.Struct):
    name: str = ""
    inputSchema: Any = None  # noqa: N815 - the specification's spelling


class _Result(msgspec.Struct):
    tools: list[_Tool] = []
    nextCursor: str | None = None  # noqa: N815


class _List(msgspec.Struct):
    result: _Result | None = None


_LIST: Final = msgspec.json.Decoder(_List)


class Tools:
    """What one server says of its tools is the same for every caller, so one table serves all of them."""

    def __init__(self) -> None:
        self._paths: OrderedDict[str, ParamPaths] = OrderedDict()

    def paths(self, tool: str) -> ParamPaths:
        """The mirrored arguments of a tool, as far as known."""
        return self._paths.get(tool, {}) if self._paths else {}

    def learn(self, message: bytes) -> str | None:
        """Take in one answer to `tools/list`; gives the cursor of the next page."""
        if not self._paths and _HINT not in message and b'"nextCursor"' not in message:
            return None
        try:
            found = _LIST.decode(message).result
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        for tool in found.tools if found is not None else ():
            paths = annotated(tool.inputSchema)
            if paths:
                self._paths[tool.name] = paths
                self._paths.move_to_end(tool.name)
            else:
                self._paths.pop(tool.name, None)
            if len(self._paths) > MAX_TOOLS:
                self._paths.popitem(last=False)
        return found.nextCursor if found is not None else None

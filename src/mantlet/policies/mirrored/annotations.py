"""Which tools of which server have arguments that are mirrored in headers, learnt from the lists that pass."""

from collections import OrderedDict
from typing import Any, Final

import msgspec

from mantlet.wire.mcp.header_values import ANNOTATION, ParamPaths, annotated

MAX_TOOLS: Final = 1_000
"""Annotated tools remembered of one server; the longest unseen is forgotten, and then its server alone checks it."""
MAX_PARAMS: Final = 32
"""Mirrored arguments of one tool; with more, none of them is checked here."""

_HINT: Final = ANNOTATION.encode()


class _Tool(msgspec.Struct):
    name: str = ""
    inputSchema: Any = None  # noqa: N815 - the specification's spelling


class _Result(msgspec.Struct):
    tools: list[_Tool] = []


class _Answer(msgspec.Struct):
    result: _Result | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)


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
        if known is None and _HINT not in message:
            return
        try:
            answer = _ANSWER.decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # not readable as a list: no list is learnt, and what may be shown of it is not decided here
        for tool in answer.result.tools if answer.result is not None else ():
            self._note(server, tool)

    def _note(self, server: str, tool: _Tool) -> None:
        paths = annotated(tool.inputSchema)
        if not paths or len(paths) > MAX_PARAMS:
            if (known := self._tools.get(server)) is not None:
                known.pop(tool.name, None)
            return
        known = self._tools.setdefault(server, OrderedDict())
        known[tool.name] = paths
        known.move_to_end(tool.name)
        if len(known) > self._max_tools:
            known.popitem(last=False)

"""Reading which tools of a `tools/list` answer have arguments that are mirrored in headers."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from mantlet.wire.mcp.header_values import ANNOTATION, ParamPaths, annotated

HINT: Final = ANNOTATION.encode()
"""Stands in every answer that has such tools."""


class _Tool(msgspec.Struct):
    name: str = ""
    inputSchema: Any = None  # noqa: N815 - the specification's spelling


class _Result(msgspec.Struct):
    tools: list[_Tool] = []
    nextCursor: Any = None  # noqa: N815


class _Answer(msgspec.Struct):
    result: _Result | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)
_NOTHING: Final = _Result()


class ToolPage:
    """One answer. Of what cannot be read as a list nothing is known."""

    def __init__(self, message: bytes) -> None:
        try:
            self._result = _ANSWER.decode(message).result or _NOTHING
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._result = _NOTHING

    @property
    def cursor(self) -> str | None:
        """Of the next page."""
        cursor = self._result.nextCursor
        return cursor if isinstance(cursor, str) else None

    def tools(self) -> Iterator[tuple[str, ParamPaths]]:
        """Every tool by its name, with its mirrored arguments, if any."""
        for tool in self._result.tools:
            yield tool.name, annotated(tool.inputSchema)

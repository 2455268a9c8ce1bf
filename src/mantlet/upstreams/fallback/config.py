"""One of the `fallback` rules of a server."""

from typing import Annotated, Any, Literal

import msgspec

Reading = Literal[
    "completion/complete",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/templates/list",
    "tools/list",
]


class FallbackRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """For which operations, and exactly one of `server`, `cached` and `answer`. The first that has an answer gives it.

    Name only what changes nothing: after a failure nobody knows whether the call was carried out.
    """

    tools: tuple[str, ...] = ()
    """Tools of this server, by its own names; `*` stands for any text. A tool whose approved definition says that it
    changes something (`readOnlyHint: false`) gets no fallback, whatever stands here."""
    methods: tuple[Reading, ...] = ()
    server: str | None = None
    """Another of `mcp.servers`, which has the same tool. The call is decided on there as if the caller had made it."""
    cached: Annotated[float, msgspec.Meta(gt=0, le=604_800)] | None = None
    """The last answer that this very caller got to the same call, if it is not older, in seconds."""
    answer: str | dict[str, Any] | None = None
    """A text for a tool's result, or the whole `result`."""

    def __post_init__(self) -> None:
        if not (self.tools or self.methods):
            raise ValueError("fallback: name the tools or methods that it is for")
        if sum(way is not None for way in (self.server, self.cached, self.answer)) != 1:
            raise ValueError("fallback: each rule has exactly one of server, cached and answer")
        if self.methods and isinstance(self.answer, str):
            raise ValueError("fallback: a text is an answer of tools only; give the whole result")

    @property
    def result(self) -> dict[str, Any] | None:
        """`answer` as a result."""
        if isinstance(self.answer, str):
            return {"content": [{"type": "text", "text": self.answer}]}
        return self.answer

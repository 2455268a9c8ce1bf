"""Which calls may be made twice: only what is known to change nothing. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import translate
from typing import Any, Final

from mantlet.core.call import Call
from mantlet.wire.mcp.methods import LISTS

READS: Final = frozenset(
    {"prompts/get", "resources/read", "completion/complete", "ping", "server/discover", "tasks/get", "tasks/list"}
    | set(LISTS)
)
"""Methods that only read, by the specification."""
SAFE_VERBS: Final = frozenset({"GET", "OPTIONS"})
"""Of HTTP (RFC 9110 section 9.2.1); a HEAD is a GET here."""

Annotations = Callable[[str, str], Mapping[str, Any]]
"""What the approved definition of a server's tool says of it; empty where none is approved."""


class Idempotent:
    """For one server: `tools` are patterns of names, `annotations` what may be believed besides."""

    def __init__(self, tools: Sequence[str] = (), annotations: Annotations | None = None) -> None:
        self._named = re.compile("|".join(translate(pattern) for pattern in tools)).match if tools else None
        self._annotations = annotations

    def __call__(self, call: Call) -> bool:
        """Whether making `call` twice is as good as making it once."""
        method = call.method
        if call.kind != "request":
            return False
        if method == "tools/call":
            if "task" in call.params:
                return False  # it makes a task, whatever the tool does in it
            return self._is_named(call.target) or self._is_said(call)
        if method in SAFE_VERBS:
            return call.arrival.incoming is None
        return method in READS

    def _is_named(self, tool: str) -> bool:
        return self._named is not None and self._named(tool) is not None

    def _is_said(self, call: Call) -> bool:
        if self._annotations is None:
            return False
        said = self._annotations(call.server, call.target)
        return said.get("readOnlyHint") is True or said.get("idempotentHint") is True

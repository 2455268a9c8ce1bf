"""Which rules are for a call, and what it is when another server is asked. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fnmatch import translate
from typing import Any, Final

from mantlet import __version__
from mantlet.core.call import Call, Reply
from mantlet.core.refusal import BadUpstream, DeadlineExceeded, EgressDenied, Refusal, UpstreamUnavailable
from mantlet.upstreams.fallback.config import FallbackRule
from mantlet.upstreams.guarded.verdict import BUSY, is_answer
from mantlet.wire.mcp import calls
from mantlet.wire.mcp.methods import META_CAPABILITIES, META_CLIENT_INFO, META_VERSION, MODERN_VERSIONS

Annotations = Callable[[str, str], Mapping[str, Any]]

_VERSION: Final = MODERN_VERSIONS[0]


class Plan:
    """The rules of one server."""

    def __init__(self, rules: Sequence[FallbackRule], annotations: Annotations) -> None:
        self._rules = [(rule, _matcher(rule.tools), frozenset(rule.methods)) for rule in rules]
        self._annotations = annotations
        self.keeps = any(rule.cached is not None for rule in rules)
        """Whether answers are kept at all."""

    def rules_for(self, call: Call) -> list[FallbackRule]:
        """Those that are for `call`, in order; none for what changes something, or goes on with what a server began."""
        if call.kind != "request" or call.id is None or "requestState" in call.params:
            return []
        if call.method != "tools/call":
            return [rule for rule, _, methods in self._rules if call.method in methods]
        if "task" in call.params or self._annotations(call.server, call.target).get("readOnlyHint") is False:
            return []
        return [rule for rule, tools, _ in self._rules if tools is not None and tools(call.target) is not None]


def is_for(end: Reply | Refusal) -> bool:
    """Whether a call that ended so is answered by a fallback."""
    if isinstance(end, Reply):
        return end.status in BUSY
    if isinstance(end, EgressDenied) or is_answer(end):
        return False
    return isinstance(end, UpstreamUnavailable | BadUpstream | DeadlineExceeded)


def at(call: Call, server: str) -> Call:
    """`call` as one to `server`, with a trail of its own. A legacy caller has no session there: for it the call is a
    modern one, which needs none."""
    if call.era == "modern":
        trail = replace(call.trail, server=server, notes={})
        return replace(call, server=server, arrival=replace(call.arrival, trail=trail))
    meta = {
        META_VERSION: _VERSION,
        META_CLIENT_INFO: {"name": "mantlet", "version": __version__},
        META_CAPABILITIES: {},
    }
    asked = calls.request(
        replace(call, era="modern"),
        server,
        call.method,
        {**call.params, "_meta": meta},
        session="",
        deadline_s=call.deadline_s,
        version=_VERSION,
    )
    asked.target = asked.trail.object = call.target
    asked.trail.era = "modern"
    return asked


def _matcher(patterns: Sequence[str]) -> Callable[[str], object] | None:
    return re.compile("|".join(translate(pattern) for pattern in patterns)).match if patterns else None

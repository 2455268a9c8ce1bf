"""Which calls may be answered again at all, and on which terms (CACHE-02). Pure."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from mantlet.core.call import Call
from mantlet.policies.authorize.compiling import patterns
from mantlet.policies.cache.config import CacheConfig
from mantlet.policies.tasks.policy import may_start_task

PLANS_KEPT: Final = 4_096
NAME_CHARACTERS_KEPT: Final = 256
"""A caller makes up as many names, and as long ones, as it likes."""

KIND_OF: Final[Mapping[str, str]] = {
    "tools/list": "tools",
    "tools/call": "tools",
    "prompts/list": "prompts",
    "prompts/get": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resources",
    "resources/read": "resources",
    "server/discover": "discover",
}
"""Methods whose answers may be kept, and what a change that a server tells of makes old."""
_LISTS: Final = frozenset({"tools/list", "prompts/list", "resources/list", "resources/templates/list"})
HINTED: Final = _LISTS | {"server/discover", "resources/read"}
"""Whose results say how long they are good (2026-07-28, Caching, "Cacheable Results")."""


class Terms(NamedTuple):
    """How long an answer may be kept: at most `ttl_s`, and `unhinted_s` where its server does not say.

    `legacy_s` is that of a legacy server's. `may_share`: other callers of the tenant may have it, if it is public.
    """

    ttl_s: float
    unhinted_s: float
    legacy_s: float
    negative_s: float
    may_share: bool


class Plan:
    """Costs a call a look-up."""

    def __init__(self, config: CacheConfig) -> None:
        self._config = config
        self._named = {
            "tools/call": _matcher(config.tools),
            "prompts/get": _matcher(config.prompts),
            "resources/read": _matcher(config.resources),
        }
        self._shared = _matcher(config.shared)
        self._remembered: Callable[[str, str, str], Terms | None] = lru_cache(PLANS_KEPT)(self._find)

    def of(self, server: str, method: str, target: str) -> Terms | None:
        """The terms, or None for what is never kept."""
        if method not in KIND_OF:
            return None
        if len(target) > NAME_CHARACTERS_KEPT:
            return self._find(server, method, target)
        return self._remembered(server, method, target)

    def _find(self, server: str, method: str, target: str) -> Terms | None:
        config = self._config
        named = self._named.get(method)
        is_named = named is not None and named(server, target)
        is_hinted = config.hints and method in HINTED
        if not is_named and not is_hinted:
            return None
        unhinted_s = config.ttl if is_named else 0.0
        return Terms(
            ttl_s=config.ttl,
            unhinted_s=unhinted_s,
            legacy_s=min(config.list_ttl, config.ttl) if method in _LISTS else unhinted_s,
            negative_s=min(config.negative_ttl, config.ttl),
            may_share=self._shared(server, target),
        )


def _matcher(named: list[str]) -> Callable[[str, str], bool]:
    matches = patterns(named)
    if not named or matches is None:
        return lambda server, name: False
    return lambda server, name: bool(matches(f"{server}__{name}") or (name and matches(name)))


def may_be_asked_again(call: Call) -> bool:
    """Whether the same call of another moment would be the same question."""
    params = call.params
    if call.kind != "request" or call.id is None or "inputResponses" in params or "requestState" in params:
        return False
    meta = params.get("_meta")
    if type(meta) is dict and "progressToken" in meta:
        return False  # it wants to be told on the way
    # A human's yes was for one execution, not for a look at an earlier one's answer.
    return not may_start_task(call) and "approval" not in call.trail.notes

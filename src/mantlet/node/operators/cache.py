"""The cache as an operator sees and empties it, in all processes of the node."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Journal
from mantlet.core.refusal import InvalidParams, NotFound
from mantlet.events.audit.administrative import note
from mantlet.node.config.model import Config
from mantlet.node.operators.members import Member
from mantlet.policies.cache.hearing import EVERYTHING, scope
from mantlet.policies.cache.plan import KIND_OF


class CacheAdmin:
    """What the admin API does, over all processes of the node. Without the record nothing is done (AUD-02)."""

    def __init__(self, config: Callable[[], Config], members: Callable[[], Sequence[Member]], journal: Journal) -> None:
        """`config` gives the one in force."""
        self._config, self._members, self._journal = config, members, journal

    async def stats(self) -> list[Mapping[str, Any]]:
        """Each process's figures."""
        self._must_be_on()
        return [{"worker": number, **await member.cache()} for number, member in enumerate(self._members())]

    async def purge(self, server: str, kind: str, by: str) -> Mapping[str, Any]:
        """Forget a server's answers of one kind, all of a server's, or everything; those of `cached` fallbacks, too."""
        kinds = sorted(set(KIND_OF.values()))
        if kind and (not server or kind not in kinds):
            raise InvalidParams(f"kind is one of {', '.join(kinds)}, and goes with a server.")
        known = [each.name for each in self._config().mcp.servers]
        if server and server not in known:
            raise NotFound(f"There is no server called {server!r}; there are: {', '.join(known) or 'none'}.")
        what = scope(server, kind) if kind else server or EVERYTHING
        await note(self._journal, SYSTEM, "cache.purged", object=what or "everything", principal=by)
        told = [await member.purge_cache(what) for member in self._members()]
        return {"server": server, "kind": kind, "workers": len(told), "told_all": all(told)}

    def _must_be_on(self) -> None:
        if not self._config().cache.enabled:
            raise NotFound("Nothing is kept here: set cache.enabled in the configuration.")

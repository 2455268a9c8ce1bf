"""What has been seen of the servers' lists: whose name is whose, and whose resources are where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mantlet.core.ports import Names
from mantlet.policies.aggregate.listing import Item, Listing
from mantlet.policies.aggregate.memory import Memory
from mantlet.policies.aggregate.names import Owned, Withheld, assign
from mantlet.policies.aggregate.resources import Resources
from mantlet.wire import jsonrpc


@dataclass(frozen=True, slots=True)
class Learnt:
    """Items under the names they have here, and those that got none."""

    items: Sequence[Item]
    """Each with its server and the name it has there; in the order of servers, then in the server's own."""
    withheld: Sequence[Withheld] = ()
    renamed: Mapping[str, Owned] = field(default_factory=dict)
    """Names given now, for the first time, because another server has the plain one (TOOL-02)."""

    def say_withheld(self) -> str:
        """For the record."""
        return "; ".join(f"{item.server}/{item.name[:64]}: {item.why}" for item in self.withheld[:10])

    def say_renamed(self) -> str:
        """For the record."""
        renamed = list(self.renamed.items())[:10]
        return "; ".join(f"{owner.server}/{owner.name[:64]}: shown as {exposed[:128]}" for exposed, owner in renamed)


_NAMED: Final = {"tools/list": "tools", "prompts/list": "prompts"}


class Catalogue:
    """Names are kept by the `Names` port, for ever; resources in memory, until asked for again."""

    def __init__(self, servers: Sequence[str], names: Names) -> None:
        self._servers = servers
        self._names = names
        self._owners: dict[str, dict[str, Owned]] = {}
        self._resources = Resources(servers)
        self._learnt: Memory[Learnt] = Memory()

    async def learn(self, method: str, found: Mapping[str, Listing]) -> Learnt:
        """Take in one list of each server and give the items under the names they have here."""
        kind = _NAMED.get(method)
        if kind is None:
            return Learnt(self._resources.learn(method, found))
        key = (method, *((server, listing.pages) for server, listing in found.items()))
        learnt = self._learnt.get(key)
        if learnt is not None:
            return learnt
        owners = await self._load(kind)
        claims: dict[str, Owned] = {}
        withheld: list[Withheld] = []
        for server, listing in found.items():
            names = [name for item in listing.items if type(name := item.get("name")) is str]
            given, kept_back = assign({**owners, **claims}, server, names, self._servers)
            claims |= given
            withheld += kept_back
        renamed = {e: owner for e, owner in claims.items() if e != owner.name and e not in owners}
        if any(exposed not in owners for exposed in claims):
            owners = self._owners[kind] = _owned(
                await self._names.claim(kind, {exposed: (o.server, o.name) for exposed, o in claims.items()})
            )
        # Another worker may have been faster: what is shown is what the store says, never what was hoped for.
        exposed_as = {owner: exposed for exposed, owner in claims.items() if owners.get(exposed) == owner}
        items = [
            Item(owner, exposed_as[owner], jsonrpc.encode({**item, "name": exposed_as[owner]}))
            for server, listing in found.items()
            for item in listing.items
            if (owner := Owned(server, str(item.get("name")))) in exposed_as
        ]
        if len(exposed_as) == len(claims):
            # Names are for ever, so the same lists always give this; only what was lost to another worker may not.
            size = sum(page.size for listing in found.values() for page in listing.pages)
            self._learnt.put(key, Learnt(items, withheld), size)
        return Learnt(items, withheld, {e: owner for e, owner in renamed.items() if exposed_as.get(owner) == e})

    async def owner(self, kind: str, exposed: str) -> Owned | None:
        """Whom a name leads to."""
        owners = self._owners.get(kind) or await self._load(kind)
        return owners.get(exposed)

    def changed(self, server: str, method: str) -> None:
        """The server says that a list of it is another now. Names stay, for they are given for ever."""
        if method == "notifications/resources/list_changed":
            self._resources.changed(server)

    def server_of(self, uri: str) -> str | None:
        """Whose resource a URI is: one that was listed, or one that is or fits a listed template."""
        return self._resources.server_of(uri)

    async def _load(self, kind: str) -> dict[str, Owned]:
        owners = self._owners[kind] = _owned(await self._names.owners(kind))
        return owners


def _owned(names: Mapping[str, tuple[str, str]]) -> dict[str, Owned]:
    return {exposed: Owned(server, name) for exposed, (server, name) in names.items()}

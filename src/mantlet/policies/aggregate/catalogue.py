"""What has been seen of the servers' lists: whose name is whose, and whose resources are where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mantlet.core.ports import Names
from mantlet.policies.aggregate.names import Owned, Withheld, assign
from mantlet.wire.mcp.methods import LISTS

MAX_RESOURCES: Final = 100_000
"""Resource URIs remembered; beyond it the oldest are forgotten and asked for again."""
MAX_TEMPLATES: Final = 1_000
"""Templates remembered: each is looked at for a URI that nobody listed."""
MAX_URI_CHARACTERS: Final = 8_192
"""Longer ones are shown and not remembered; their server's own endpoint still knows them."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """Items under the names they have here, and those that got none."""

    items: list[tuple[Owned, dict[str, Any]]]
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
        self._resources: dict[str, str] = {}
        self._templates: dict[str, str] = {}

    async def learn(self, method: str, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> Learnt:
        """Take in one list of each server and give the items under the names they have here."""
        kind = _NAMED.get(method)
        if kind is None:
            return Learnt(self._learn_resources(method, found))
        owners = await self._load(kind)
        claims: dict[str, Owned] = {}
        withheld: list[Withheld] = []
        for server, listed in found.items():
            names = [name for item in listed if type(name := item.get("name")) is str]
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
            (owner, {**item, "name": exposed_as[owner]})
            for server, listed in found.items()
            for item in listed
            if (owner := Owned(server, str(item.get("name")))) in exposed_as
        ]
        return Learnt(items, withheld, {e: owner for e, owner in renamed.items() if exposed_as.get(owner) == e})

    async def owner(self, kind: str, exposed: str) -> Owned | None:
        """Whom a name leads to."""
        owners = self._owners.get(kind) or await self._load(kind)
        return owners.get(exposed)

    def changed(self, server: str, method: str) -> None:
        """The server says that a list of it is another now: what is remembered of it is asked for again.

        Names stay, for they are given for ever.
        """
        if method == "notifications/resources/list_changed":
            for kept in (self._resources, self._templates):
                for uri in [uri for uri, owner in kept.items() if owner == server]:
                    del kept[uri]

    def server_of(self, uri: str) -> str | None:
        """Whose resource a URI is: one that was listed, or one that is or fits a listed template."""
        server = self._resources.get(uri) or self._templates.get(uri)
        if server is None:
            # The most exact template, so that a broad one cannot draw another server's resources to itself.
            fitting = [template for template in self._templates if fits(template, uri)]
            server = self._templates[max(fitting, key=exactness)] if fitting else None
        return server

    async def _load(self, kind: str) -> dict[str, Owned]:
        owners = self._owners[kind] = _owned(await self._names.owners(kind))
        return owners

    def _learn_resources(
        self, method: str, found: Mapping[str, Sequence[Mapping[str, Any]]]
    ) -> list[tuple[Owned, dict[str, Any]]]:
        attribute = "uri" if method == "resources/list" else "uriTemplate"
        items: list[tuple[Owned, dict[str, Any]]] = []
        for server, listed in found.items():
            for item in listed:
                uri = item.get(attribute)
                # The first server to list a URI keeps it here; the other's is still at its own endpoint.
                if type(uri) is str and self._keep(attribute, uri, server) == server:
                    items.append((Owned(server, uri), dict(item)))
        return items

    def _keep(self, attribute: str, uri: str, server: str) -> str:
        is_template = attribute == "uriTemplate"
        kept, limit = (self._templates, MAX_TEMPLATES) if is_template else (self._resources, MAX_RESOURCES)
        if len(uri) > MAX_URI_CHARACTERS:
            return server
        owner = kept.setdefault(uri, server)
        if len(kept) > limit:
            del kept[next(iter(kept))]
        return owner


def _owned(names: Mapping[str, tuple[str, str]]) -> dict[str, Owned]:
    return {exposed: Owned(server, name) for exposed, (server, name) in names.items()}


def fits(template: str, uri: str) -> bool:
    """Whether `uri` can come from `template`, by what stands before and after its expressions (RFC 6570).

    Enough to tell servers apart, and linear: a template is a stranger's text and must not become a pattern. One that
    does not even say its scheme would fit everything, and fits nothing here.
    """
    before, opened, rest = template.partition("{")
    if not opened:
        return uri == template
    after = rest.rpartition("}")[2]
    if ":" not in before:
        return False
    return len(uri) >= len(before) + len(after) and uri.startswith(before) and uri.endswith(after)


def exactness(template: str) -> int:
    """How many characters of a URI a template fixes."""
    before, opened, rest = template.partition("{")
    return len(before) + len(rest.rpartition("}")[2]) if opened else len(template)


def items_of(method: str, result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The items of a list result; a result of another shape has none."""
    items = result.get(LISTS[method])
    return [item for item in items if type(item) is dict] if type(items) is list else []

"""Whose a resource is: by the URIs that servers listed, and by their templates. In memory, until asked for again."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from mantlet.policies.aggregate.listing import Item, Listing
from mantlet.policies.aggregate.names import Owned
from mantlet.wire import jsonrpc

MAX_RESOURCES: Final = 100_000
"""Resource URIs remembered; beyond it the oldest are forgotten and asked for again."""
MAX_TEMPLATES: Final = 1_000
"""Templates remembered: each is looked at for a URI that nobody listed."""
MAX_URI_CHARACTERS: Final = 8_192
"""Longer ones are shown and not remembered; their server's own endpoint still knows them."""


class Place(NamedTuple):
    """Whose a resource is, as of which edition of its server's list."""

    server: str
    edition: int


class Template(NamedTuple):
    """What stands before and after the expressions of a URI template (RFC 6570), and whose it is.

    Enough to tell servers apart, and linear: a template is a stranger's text and must not become a pattern. One that
    does not even say its scheme would fit everything, and fits nothing here.
    """

    server: str
    edition: int
    before: str
    after: str
    is_open: bool

    def fits(self, uri: str) -> bool:
        """Whether `uri` can come from it."""
        before, after = self.before, self.after
        if not uri.startswith(before):
            return False
        return self.is_open and uri.endswith(after) and len(uri) >= len(before) + len(after)


NOBODYS: Final = Template("", 0, "", "", False)


def read_template(template: str, place: Place) -> Template:
    """The parts of a template. One without an expression, or without a scheme before the first, fits nothing."""
    before, opened, rest = template.partition("{")
    return Template(*place, before, rest.rpartition("}")[2], bool(opened) and ":" in before)


def exactness(template: Template) -> int:
    """How many characters of a URI a template fixes."""
    return len(template.before) + len(template.after)


K = TypeVar("K", Place, Template)


class Resources:
    """A URI that several servers list belongs to the first of them in `servers`.

    By that order and not by who answered first, so that all workers come to the same, whoever was slow at the time.
    While its server is away it stays that server's.
    """

    def __init__(self, servers: Sequence[str]) -> None:
        self._rank = {server: rank for rank, server in enumerate(servers)}
        self._edition: dict[str, int] = {}
        self._listed: dict[str, Place] = {}
        self._templates: dict[str, Template] = {}

    def changed(self, server: str) -> None:
        """The server's list is another now: what is remembered of it is asked for again."""
        # Every listener's stream says it: a step for each, and nothing is walked.
        self._edition[server] = self._edition.get(server, 0) + 1

    def server_of(self, uri: str) -> str | None:
        """Whose resource a URI is: one that was listed, or one that is or fits a listed template."""
        for kept in (self._listed.get(uri), self._templates.get(uri)):
            if kept is not None and self._is_current(kept):
                return kept.server
        # The most exact template, so that a broad one cannot draw another server's resources to itself.
        fitting = [template for template in self._templates.values() if template.fits(uri)]
        return max(filter(self._is_current, fitting), key=exactness, default=NOBODYS).server or None

    def _is_current(self, kept: Place | Template) -> bool:
        return kept.edition == self._edition.get(kept.server, 0)

    def learn(self, method: str, found: Mapping[str, Listing]) -> list[Item]:
        """Take in one list of each server; its items that are this server's here."""
        attribute = "uri" if method == "resources/list" else "uriTemplate"
        items: list[Item] = []
        for server, listing in found.items():
            for item in listing.items:
                uri = item.get(attribute)
                # The other's is still at its own endpoint.
                if type(uri) is str and self._keep(attribute, uri, server) == server:
                    items.append(Item(Owned(server, uri), uri, jsonrpc.encode(item)))
        return items

    def _keep(self, attribute: str, uri: str, server: str) -> str:
        if len(uri) > MAX_URI_CHARACTERS:
            return server
        place = Place(server, self._edition.get(server, 0))
        if attribute == "uriTemplate":
            return self._keep_in(self._templates, uri, read_template(uri, place), MAX_TEMPLATES)
        return self._keep_in(self._listed, uri, place, MAX_RESOURCES)

    def _keep_in(self, kept: dict[str, K], uri: str, mine: K, limit: int) -> str:
        standing = kept.get(uri)
        if standing is not None and self._is_current(standing):
            if self._rank[standing.server] <= self._rank[mine.server]:
                return standing.server
            del kept[uri]
        kept[uri] = mine
        if len(kept) > limit:
            del kept[next(iter(kept))]
        return mine.server

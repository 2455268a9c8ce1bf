"""Rules as values: of whom and of what each speaks. Pure: no clock, no IO."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from mantlet.core.caller import Rights
from mantlet.policies.authorize.conditions import Condition
from mantlet.wire.mcp.methods import is_known

Aspect = Literal["tools", "prompts", "resources", "agents", "paths", "named"]
"""What kind of object a method acts on. `named` is for methods that a rule must name itself (see `needs_naming`)."""

ASPECT_OF: Final[dict[str, Aspect]] = {
    "tools/call": "tools",
    "prompts/get": "prompts",
    "resources/read": "resources",
    "resources/subscribe": "resources",
    "resources/unsubscribe": "resources",
}
"""The methods that act on an object. All others shake hands, ask for lists or say how things go."""
VERBS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""The methods of calls to plain HTTP services, whose target is a path."""
SEPARATOR: Final = "__"
_ELSEWHERE: Final = frozenset({"agents", "paths"})
"""What is not on an MCP server."""


@dataclass(frozen=True, slots=True)
class Object:
    """What is asked for. `name` is empty for methods without an object."""

    server: str
    method: str
    aspect: Aspect
    name: str


Match = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Delegation:
    """Of which chains of actors a rule speaks. `None` does not narrow."""

    actors: Match | None
    on_behalf_of: Match | None
    min_depth: int
    max_depth: int | None
    takes_any: bool
    """One actor of the chain is enough, as a prohibition wants it; a permission wants all of them."""

    def covers(self, who: Rights) -> bool:
        """Whether the rule speaks of this caller's chain."""
        depth = len(who.act)
        if depth < self.min_depth or (self.max_depth is not None and depth > self.max_depth):
            return False
        if self.on_behalf_of is not None and not (depth and self.on_behalf_of(who.subject)):
            return False
        if self.actors is None:
            return True
        found = map(self.actors, who.act)
        return any(found) if self.takes_any else depth > 0 and all(found)


@dataclass(frozen=True, slots=True)
class Rule:
    """One compiled rule. `None` matchers do not narrow."""

    name: str
    allows: bool
    is_shadow: bool
    roles: frozenset[str] | None
    scopes: frozenset[str] | None
    tenants: frozenset[str] | None
    subjects: frozenset[str] | None
    kinds: frozenset[str] | None
    delegation: Delegation | None
    servers: Match | None
    aspects: dict[Aspect, Match]
    names: dict[Aspect, tuple[str, ...]]
    """What `aspects` was made from."""
    methods: Match | None
    condition: Condition | None

    def concerns(self, who: Rights) -> bool:
        """Whether the rule speaks of this caller at all."""
        return (
            (self.roles is None or not self.roles.isdisjoint(who.roles))
            and (self.scopes is None or self.scopes <= who.scopes)
            and (self.tenants is None or who.tenant in self.tenants)
            and (self.subjects is None or who.subject in self.subjects)
            and (self.kinds is None or who.kind in self.kinds)
            and (self.delegation is None or self.delegation.covers(who))
        )

    def covers(self, what: Object) -> bool:
        """Whether the rule speaks of this object."""
        if not self.covers_server(what.server):
            return False
        is_named = self.methods is not None and bool(self.methods(what.method))
        if what.aspect == "paths" and "paths" in self.aspects:
            # A verb says how, not on what: GET and /status together mean neither every GET nor every verb.
            return (is_named or self.methods is None) and bool(self.aspects["paths"](what.name))
        if is_named:
            return True
        if what.aspect == "named":
            return self.denies_all(what.server)
        if not self.aspects:
            return self.methods is None
        match = self.aspects.get(what.aspect)
        if match is None:
            return False
        if match(what.name):
            return True
        return what.aspect == "tools" and bool(match(f"{what.server}{SEPARATOR}{what.name}"))

    def decides_reach(self, server: str, method: str) -> bool:
        """Whether the rule says if its callers may use `method`, which acts on no object, with `server`."""
        is_named = self.methods is not None and self.covers_server(server) and bool(self.methods(method))
        return is_named or self.denies_all(server) or self.reaches(server)

    def reaches(self, server: str) -> bool:
        """Whether the rule lets its callers do anything at all with `server`."""
        if "paths" in self.aspects and self.aspects.keys() <= _ELSEWHERE:
            return False
        is_for_servers = self.aspects.keys() != {"agents"} or self.methods is not None
        return self.allows and not self.is_shadow and is_for_servers and self.covers_server(server)

    def covers_server(self, server: str) -> bool:
        """Whether the rule speaks of `server`."""
        return self.servers is None or bool(self.servers(server))

    def denies_all(self, server: str) -> bool:
        """Whether the rule forbids everything on `server`."""
        return not self.allows and not self.aspects and self.methods is None and self.covers_server(server)


def aspect_of(method: str, name: str) -> Aspect | None:
    """What kind of object `method` acts on; None for methods without one."""
    aspect = ASPECT_OF.get(method)
    if aspect is None and method in VERBS and name[:1] == "/":
        # An MCP message may call itself GET, but its target is never a path.
        return "paths"
    return aspect


def needs_naming(method: str) -> bool:
    """Whether a rule must name `method` in `methods`: those no revision of MCP defines (MCP-03), and the list of tasks.

    Whose tasks a server lists, only it can say; behind the node it may take all callers for one (AUTHZ-04), so access
    to the server is not enough. A task by its id is another matter: the node knows to whom it gave that.
    """
    return method == "tasks/list" or not (is_known(method, "modern") or is_known(method, "legacy"))

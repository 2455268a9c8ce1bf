"""Rules as values, and the one decision on them. Pure: no clock, no IO."""

import fnmatch
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mantlet.core.caller import Rights
from mantlet.policies.authorize.config import AuthorizationConfig, RuleConfig, Selector
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
class Decision:
    """Yes or no, and which rule said so (`default` when none matched)."""

    allowed: bool
    rule: str
    shadow: str = ""
    """What a shadow rule would have said first, for the record."""


@dataclass(frozen=True, slots=True)
class Object:
    """What is asked for. `name` is empty for methods without an object."""

    server: str
    method: str
    aspect: Aspect
    name: str


Match = Callable[[str], object]


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
    servers: Match | None
    aspects: dict[Aspect, Match]
    methods: Match | None

    def concerns(self, who: Rights) -> bool:
        """Whether the rule speaks of this caller at all."""
        return (
            (self.roles is None or not self.roles.isdisjoint(who.roles))
            and (self.scopes is None or self.scopes <= who.scopes)
            and (self.tenants is None or who.tenant in self.tenants)
            and (self.subjects is None or who.subject in self.subjects)
            and (self.kinds is None or who.kind in self.kinds)
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


def decide(rules: Sequence[Rule], what: Object, *, default_allows: bool) -> Decision:
    """The first rule of `rules` (those that concern the caller) that covers `what`; no rule means the default."""
    shadow = ""
    for rule in rules:
        if rule.covers(what):
            if rule.is_shadow:
                shadow = shadow or f"{rule.name}:{'allow' if rule.allows else 'deny'}"
                continue
            return Decision(rule.allows, rule.name, shadow)
    return Decision(default_allows, "default", shadow)


def reaches(rules: Sequence[Rule], server: str, method: str, *, default_allows: bool) -> Decision:
    """Whether a caller may use `method`, which acts on no object, with `server`.

    Whoever may do anything at all there may shake hands and ask for lists, which are then filtered; unless an earlier
    rule speaks of the method itself, or denies everything.
    """
    for rule in rules:
        if rule.is_shadow:
            continue
        is_named = rule.methods is not None and rule.covers_server(server) and bool(rule.methods(method))
        if is_named or rule.denies_all(server):
            return Decision(rule.allows, rule.name)
        if rule.reaches(server):
            return Decision(True, rule.name)
    return Decision(default_allows, "default")


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


def compile_rules(config: AuthorizationConfig) -> tuple[Rule, ...]:
    """Rules ready to decide; raises `ValueError` naming the rule that says nothing, both or too much."""
    return tuple(_compile(rule) for rule in config.rules)


def _compile(rule: RuleConfig) -> Rule:
    if (rule.allow is None) == (rule.deny is None):
        raise ValueError(f"rule {rule.name!r}: give exactly one of allow and deny")
    selector = rule.allow if rule.allow is not None else rule.deny
    assert selector is not None
    if selector.when is not None:
        raise ValueError(
            f"rule {rule.name!r}: conditions (when) are not offered in this version; remove the rule or the condition"
        )
    return Rule(
        name=rule.name,
        allows=rule.allow is not None,
        is_shadow=rule.shadow,
        roles=_names(selector.roles),
        scopes=_names(selector.scopes),
        tenants=_names(selector.tenants),
        subjects=_names(selector.subjects),
        kinds=_names(selector.kinds),
        servers=_patterns(selector.servers),
        aspects=_aspects(selector),
        methods=_patterns(selector.methods),
    )


def _aspects(selector: Selector) -> dict[Aspect, Match]:
    given: dict[Aspect, list[str] | None] = {
        "tools": selector.tools,
        "prompts": selector.prompts,
        "resources": selector.resources,
        "agents": selector.agents,
        "paths": selector.paths,
    }
    return {aspect: match for aspect, patterns in given.items() if (match := _patterns(patterns)) is not None}


def _names(names: list[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def _patterns(patterns: list[str] | None) -> Match | None:
    if patterns is None:
        return None
    if "*" in patterns:
        return _anything
    if not any(set(pattern) & set("*?[") for pattern in patterns):
        return frozenset(patterns).__contains__
    # One expression for all: `fnmatch.translate` anchors and escapes, and never backtracks across patterns.
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns)).match


def _anything(name: str) -> bool:
    return True

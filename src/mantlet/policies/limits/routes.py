"""Which profiles a call falls under. Compiled once, at load."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import translate

from mantlet.policies.limits.config import Limit, Match, Route

Test = Callable[[str], bool]
RESERVED = frozenset({"client", "global", "burst", "tenant"})


@dataclass(frozen=True, slots=True)
class Profile:
    """A route with its tests; None where the route does not ask."""

    name: str
    client: Limit | None
    all: Limit | None
    path: Test | None
    verb: Test | None
    method: Test | None
    tool: Test | None
    server: Test | None
    cost: int = 1

    @property
    def needs_call(self) -> bool:
        """Whether it can be told only when the body is read."""
        return self.method is not None or self.tool is not None or self.server is not None

    def matches_arrival(self, path: str, verb: str) -> bool:
        """The part that the head of a request can tell."""
        return (self.path is None or self.path(path)) and (self.verb is None or self.verb(verb))

    def matches_call(self, method: str, tool: str, server: str) -> bool:
        """The part that the body tells; `tool` is empty for anything but a tool call."""
        return (
            (self.method is None or self.method(method))
            and (self.tool is None or (tool != "" and self.tool(tool)))
            and (self.server is None or self.server(server))
        )


def compile_routes(routes: Sequence[Route]) -> tuple[Profile, ...]:
    """Profiles with unique names; raises `ValueError` for a name that is taken or reserved."""
    profiles = tuple(_profile(route, number) for number, route in enumerate(routes, 1))
    names: set[str] = set(RESERVED)
    for profile in profiles:
        if profile.name in names:
            raise ValueError(f"limits.routes: the name {profile.name!r} is taken; give the route a name of its own")
        names.add(profile.name)
    return profiles


def _profile(route: Route, number: int) -> Profile:
    match = route.match
    is_verb = match.method is not None and match.method.isupper() and "/" not in match.method
    return Profile(
        name=route.name or _default_name(match, number),
        client=route.client,
        all=route.all,
        path=_test(match.path),
        verb=_verb(match.method) if is_verb else None,
        method=None if is_verb else _test(match.method),
        tool=_test(match.tool),
        server=_test(match.server),
        cost=route.cost,
    )


def _default_name(match: Match, number: int) -> str:
    """Readable in a record and legal in a structured field, else just a number."""
    words = [f"{kind}:{text}" for kind in ("path", "method", "tool", "server") if (text := getattr(match, kind))]
    name = " ".join(words)
    return name if re.fullmatch(r"[A-Za-z0-9_.:/*?\[\] -]{1,64}", name) else f"route {number}"


def _verb(pattern: str | None) -> Test | None:
    # What answers HEAD does the work of GET: a limit for the one that did not count the other would be none.
    return frozenset({"GET", "HEAD"}).__contains__ if pattern == "GET" else _test(pattern)


def _test(pattern: str | None) -> Test | None:
    if pattern is None or pattern == "":
        return None
    if not re.search(r"[*?\[]", pattern):
        return pattern.__eq__
    match = re.compile(translate(pattern)).match
    return lambda text: match(text) is not None

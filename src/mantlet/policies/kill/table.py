"""What is switched off, as a value. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from mantlet.core.caller import Caller
from mantlet.wire.mcp.methods import TASK_METHODS

Kind = Literal["agent", "tool", "upstream", "caller"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
MAX_KILLS: Final = 10_000
"""Set by hand; more than that is a rule."""
MAX_NAME_CHARACTERS: Final = 1_024
SEPARATOR: Final = "__"
_OF_TOOLS: Final = frozenset({"tools/call"} | TASK_METHODS - {"tasks/cancel"})
"""A task is a call that goes on: `policies/tasks` has put its tool in the place of its id. It may be cancelled."""


class Switch(NamedTuple):
    """What is stopped. A caller is named as the audit names it, `tenant/issuer/subject`; a tool by its own name, at
    whichever server, or as `server__tool`; an agent by its subject."""

    kind: Kind
    name: str


class Kill(msgspec.Struct, frozen=True, array_like=True):
    """Why, by whom and since when (Unix time)."""

    reason: str
    by: str
    at_s: float


Table = Mapping[Switch, Kill]
_ROWS: Final = msgspec.json.Decoder(list[tuple[Kind, str, Kill]])


def encode(table: Table) -> bytes:
    """As it is shared."""
    return msgspec.json.encode([(kind, name, kill) for (kind, name), kill in table.items()])


def decode(text: bytes | None) -> dict[Switch, Kill]:
    """The shared table. One that cannot be read is an error, never an empty one: that would undo every kill."""
    return {} if text is None else {Switch(kind, name): kill for kind, name, kill in _ROWS.decode(text)}


@dataclass(frozen=True, slots=True)
class Stopped:
    """The same, as calls ask for it."""

    agents: frozenset[str] = frozenset()
    tools: frozenset[str] = frozenset()
    upstreams: frozenset[str] = frozenset()
    callers: frozenset[str] = frozenset()

    def caller(self, caller: Caller) -> Switch | None:
        """The switch that stops `caller`, or one who acts for it."""
        # By the whole name: two callers whose names read alike are both stopped, and neither slips by.
        if caller.name in self.callers:
            return Switch("caller", caller.name)
        if self.agents:
            if caller.kind != "user" and caller.subject in self.agents:
                return Switch("agent", caller.subject)
            for actor in caller.act:
                if actor in self.agents:
                    return Switch("agent", actor)
        return None

    def target(self, server: str, method: str, name: str) -> Switch | None:
        """The switch that stops calls of `method` to `name` on `server`."""
        if server in self.upstreams:
            return Switch("upstream", server)
        if self.tools and method in _OF_TOOLS:
            for known in (name, f"{server}{SEPARATOR}{name}"):
                if known in self.tools:
                    return Switch("tool", known)
        return None


def stopped(table: Table) -> Stopped:
    """`table` by kind."""
    names: dict[Kind, set[str]] = {kind: set() for kind in KINDS}
    for switch in table:
        names[switch.kind].add(switch.name)
    return Stopped(*(frozenset(names[kind]) for kind in KINDS))

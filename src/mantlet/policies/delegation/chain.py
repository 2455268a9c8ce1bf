"""What a chain of actors may do. Pure: the chain comes out of a verified token, and out of nothing else."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from mantlet.core.caller import Caller
from mantlet.core.refusal import DelegationRefused


@dataclass(frozen=True, slots=True)
class Actor:
    """The rights that one who acts may use of another's; None does not narrow."""

    roles: frozenset[str] | None
    scopes: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Terms:
    """`own_name` is this node's, or empty where it has none of its own."""

    max_depth: int
    own_name: str
    allows_loops: bool
    actors: Mapping[str, Actor] | None


def admitted(caller: Caller, terms: Terms) -> Caller:
    """`caller` with the rights that the whole chain has (RFC 8693 section 4.1 records it, and leaves this to us).

    Raises `DelegationRefused` for a chain that is too long, goes round, or holds one who may not act for others.
    """
    act = caller.act
    if len(act) > terms.max_depth:
        raise DelegationRefused("Too many act for one another.", why=f"delegation: {len(act)} actors")
    if not terms.allows_loops:
        if terms.own_name and terms.own_name in act:
            raise DelegationRefused("The call has been here before.", why="delegation: this node is in the chain")
        if len(set(act)) < len(act):
            raise DelegationRefused("The call goes round.", why="delegation: an actor stands twice in the chain")
    if terms.actors is None:
        return caller
    roles, scopes = caller.roles, caller.scopes
    for name in act:
        actor = terms.actors.get(name)
        if actor is None:
            raise DelegationRefused("This actor may not act for others here.", why="delegation: an unknown actor")
        roles = roles if actor.roles is None else roles & actor.roles
        scopes = scopes if actor.scopes is None else scopes & actor.scopes
    return dataclasses.replace(caller, roles=roles, scopes=scopes)

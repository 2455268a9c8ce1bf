import pytest

from mantlet.core.caller import Caller
from mantlet.core.refusal import DelegationRefused, Denied
from mantlet.policies.delegation.chain import Actor, Terms, admitted

ROLES, SCOPES = frozenset({"user", "admin"}), frozenset({"read", "write"})


def caller(*act: str) -> Caller:
    return Caller("ann", "iss", "forwarded", roles=ROLES, scopes=SCOPES, act=act)


def terms(max_depth: int = 2, own_name: str = "here", allows_loops: bool = False, **actors: Actor) -> Terms:
    return Terms(max_depth, own_name, allows_loops, actors or None)


@pytest.mark.parametrize(
    ("act", "given", "is_admitted"),
    [
        ((), terms(max_depth=0), True),
        (("a",), terms(max_depth=0), False),
        (("b", "a"), terms(), True),
        (("c", "b", "a"), terms(), False),
        (("here",), terms(), False),
        (("b", "here"), terms(), False),
        (("here",), terms(own_name=""), True),
        (("here",), terms(allows_loops=True), True),
        (("a", "a"), terms(), False),
        (("a", "a"), terms(allows_loops=True), True),
        (("Here",), terms(), True),
    ],
)
def test_depth_and_loops(act: tuple[str, ...], given: Terms, is_admitted: bool) -> None:
    """AUTHZ-10"""
    if is_admitted:
        assert admitted(caller(*act), given) == caller(*act)
    else:
        with pytest.raises(DelegationRefused) as refused:
            admitted(caller(*act), given)
        assert isinstance(refused.value, Denied)


ALL, READERS, NOBODYS = Actor(None, None), Actor(None, frozenset({"read"})), Actor(frozenset(), None)


@pytest.mark.parametrize(
    ("act", "roles", "scopes"),
    [
        (("all",), ROLES, SCOPES),
        (("all", "readers"), ROLES, frozenset({"read"})),
        (("readers", "all"), ROLES, frozenset({"read"})),
        (("readers", "nobodys"), frozenset(), frozenset({"read"})),
    ],
)
def test_rights_are_those_that_all_have(act: tuple[str, ...], roles: frozenset[str], scopes: frozenset[str]) -> None:
    """AUTHZ-10: the intersection of all hops, and never more than the subject has."""
    found = admitted(caller(*act), terms(all=ALL, readers=READERS, nobodys=NOBODYS))
    assert (found.roles, found.scopes) == (roles, scopes)
    assert found.key == caller().key
    assert found.rights.roles == roles


def test_where_actors_are_named_no_other_acts() -> None:
    """AUTHZ-10"""
    with pytest.raises(DelegationRefused):
        admitted(caller("all", "other"), terms(all=ALL))
    assert admitted(caller(), terms(all=ALL)) == caller()

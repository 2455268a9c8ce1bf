import pytest

from mantlet.core.caller import Caller
from mantlet.core.refusal import SessionNotFound
from mantlet.upstreams.transports.http import session
from mantlet.upstreams.transports.http.session import MAX_REMEMBERED, OpenedIds

OWNER = Caller(subject="ann", issuer="test", method="jwt")
OTHERS = (
    Caller(subject="bob", issuer="test", method="jwt"),
    Caller(subject="ann", issuer="other", method="jwt"),
    Caller(subject="ann", issuer="test", method="jwt", tenant="other"),
)


class Counting:
    """A sealer that writes the context beside the text, and counts what it is asked to open."""

    def __init__(self) -> None:
        self.opens = 0

    def seal(self, plain: bytes, context: bytes, /) -> str:
        return f"{plain.hex()}.{context.hex()}"

    def open(self, sealed: str, context: bytes, /) -> bytes | None:
        self.opens += 1
        plain, _, bound = sealed.partition(".")
        return bytes.fromhex(plain) if bound == context.hex() else None


def test_an_id_is_unsealed_once_for_its_caller() -> None:
    sealer = Counting()
    ids = OpenedIds(sealer, "echo")
    sealed = session.sealed(sealer, b"abc", "echo", OWNER).decode()
    assert [ids.get(sealed, OWNER) for _ in range(3)] == [b"abc"] * 3
    assert sealer.opens == 1


@pytest.mark.parametrize("other", OTHERS)
def test_a_remembered_id_opens_for_no_other_caller(other: Caller) -> None:
    """AUTHZ-04"""
    sealer = Counting()
    ids = OpenedIds(sealer, "echo")
    sealed = session.sealed(sealer, b"abc", "echo", OWNER).decode()
    ids.get(sealed, OWNER)
    with pytest.raises(SessionNotFound):
        ids.get(sealed, other)


def test_what_does_not_open_is_not_remembered() -> None:
    sealer = Counting()
    ids = OpenedIds(sealer, "echo")
    for number in range(3):
        with pytest.raises(SessionNotFound):
            ids.get(f"{number:02x}.00", OWNER)
    assert len(ids) == 0


def test_only_so_many_are_remembered_and_the_rest_still_open() -> None:
    sealer = Counting()
    ids = OpenedIds(sealer, "echo")
    every = [session.sealed(sealer, b"%d" % n, "echo", OWNER).decode() for n in range(MAX_REMEMBERED + 1)]
    for number, sealed in enumerate(every):
        assert ids.get(sealed, OWNER) == b"%d" % number
    assert len(ids) == MAX_REMEMBERED
    assert ids.get(every[0], OWNER) == b"0"

"""Who is at the other end (HTTP-09)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mantlet.listeners.peer import FORWARDED, address_of, first_untrusted, networks, normal

TRUSTED = networks(["10.0.0.0/8", "2001:db8::/32"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", [b"1.1.1.1"], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b"192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", [b"6.6.6.6, 192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", [b"6.6.6.6, 192.0.2.7, 10.1.1.1"], "192.0.2.7"),
        ("10.0.0.1", [b"6.6.6.6", b"192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", [b"10.9.9.9, 10.1.1.1"], "10.9.9.9"),
        ("10.0.0.1", [b"192.0.2.7:4711"], "192.0.2.7"),
        ("10.0.0.1", [b"[2001:db9::1]:4711"], "2001:db9::1"),
        ("10.0.0.1", [b"::ffff:192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", [b"6.6.6.6, unknown"], "10.0.0.1"),
        ("10.0.0.1", [b"6.6.6.6, unknown, 10.2.2.2"], "10.2.2.2"),
        ("10.0.0.1", [b""], "10.0.0.1"),
        ("10.0.0.1", [b"6.6.6.6, " + b"10.1.1.1, " * 40 + b"10.1.1.2"], "10.1.1.1"),
        ("2001:db8::5", [b"192.0.2.7"], "192.0.2.7"),
        ("local", [b"192.0.2.7"], "local"),
    ],
)
def test_the_first_untrusted_hop_from_the_right(peer: str, forwarded: list[bytes], expected: str) -> None:
    assert first_untrusted(peer, forwarded, TRUSTED) == expected


def test_nobody_is_trusted_by_default() -> None:
    assert first_untrusted("127.0.0.1", [b"1.1.1.1"], ()) == "127.0.0.1"


def test_addresses_have_one_spelling() -> None:
    assert normal("::FFFF:192.0.2.1") == "192.0.2.1"
    assert normal("fe80::1%eth0") == "fe80::1"
    assert normal("2001:DB8:0::1") == "2001:db8::1"
    assert normal("example") is None
    assert address_of(("::ffff:10.0.0.1", 1, 0, 0)) == "10.0.0.1"
    assert address_of("") == address_of(None) == "local"


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ([], "10.0.0.1"),
        ([b""], "10.0.0.1"),
        ([b"for=192.0.2.7"], "192.0.2.7"),
        ([b"For=192.0.2.7;proto=https;by=10.0.0.1"], "192.0.2.7"),
        ([b"proto=https;for=192.0.2.7"], "192.0.2.7"),
        ([b'for="192.0.2.7:4711"'], "192.0.2.7"),
        ([b'for="[2001:db9::1]"'], "2001:db9::1"),
        ([b'for="[2001:db9::1]:4711";host="a,b"'], "2001:db9::1"),
        ([b"for=6.6.6.6, for=192.0.2.7"], "192.0.2.7"),
        ([b"for=6.6.6.6", b"for=192.0.2.7 , for=10.1.1.1"], "192.0.2.7"),
        ([b"for=6.6.6.6, for=unknown"], "10.0.0.1"),
        ([b"for=6.6.6.6, for=_hidden, for=10.2.2.2"], "10.2.2.2"),
        ([b"for=6.6.6.6, proto=https"], "10.0.0.1"),
        ([b"for=6.6.6.6;for=6.6.6.7"], "10.0.0.1"),
        ([b"for=6.6.6.6,"], "10.0.0.1"),
        ([b"192.0.2.7"], "10.0.0.1"),
        ([b"for = 192.0.2.7"], "10.0.0.1"),
        # A client that opens a quotation to swallow what its proxy appends.
        ([b'for="6.6.6.6', b"for=192.0.2.7"], "192.0.2.7"),
        ([b'for=6.6.6.6;by="', b'for=192.0.2.7;host="x"'], "192.0.2.7"),
        ([b'for=6.6.6.6;by="', b'for="192.0.2.7"'], "192.0.2.7"),
        # A host that its proxy quotes, and that pretends to be an element.
        ([b'for=192.0.2.7;host="x, for=6.6.6.6"'], "192.0.2.7"),
        ([b'for=192.0.2.7;host="x, for=\\"6.6.6.6\\""'], "192.0.2.7"),
        ([b"for=" + b"1" * 600], "10.0.0.1"),
        ([b"for=6.6.6.6, " + b"for=10.1.1.1, " * 40 + b"for=10.1.1.2"], "10.1.1.1"),
    ],
)
def test_the_first_untrusted_hop_of_rfc_7239(forwarded: list[bytes], expected: str) -> None:
    assert first_untrusted("10.0.0.1", forwarded, TRUSTED, FORWARDED) == expected


@given(st.text(alphabet='for=";,[]:._\\ 16', max_size=80))
def test_what_stands_left_of_a_proxys_word_changes_nothing(left: str) -> None:
    """Whatever a client wrote, the hop that its proxy appended is who it is."""
    values = [left.encode(), b"for=192.0.2.7"]
    assert first_untrusted("10.0.0.1", values, TRUSTED, FORWARDED) == "192.0.2.7"

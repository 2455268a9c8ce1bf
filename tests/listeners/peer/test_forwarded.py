"""Who is at the other end (HTTP-09)."""

import pytest

from mantlet.listeners.peer import address_of, first_untrusted, networks, normal

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

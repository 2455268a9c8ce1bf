"""EGR-01, EGR-02: what may be connected to, on whose word."""

from ipaddress import ip_address

import pytest

from mantlet.upstreams.egress.config import EgressConfig
from mantlet.upstreams.egress.hosts import why_odd
from mantlet.upstreams.egress.rules import Rules, compile_rules, destination, in_turn

FOUND = destination("idp.example.com", 443)
OWN = destination("db.example.com", 443)


def rules(*allow: str, deny: tuple[str, ...] = ()) -> Rules:
    return compile_rules(allow=allow, deny=deny, configured=[OWN])


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("8.8.8.8", ""),
        ("2606:4700::1", ""),
        ("64:ff9b::808:808", ""),
        ("127.0.0.1", "loopback address"),
        ("::ffff:10.0.0.1", "private address"),
        ("10.0.0.1", "private address"),
        ("100.64.0.1", "shared address"),
        ("169.254.0.1", "link_local address"),
        ("169.254.169.254", "metadata address"),
        ("::169.254.169.254", "metadata address"),
        ("2002:a9fe:a9fe::", "metadata address"),
        ("64:ff9b::a9fe:a9fe", "metadata address"),
        ("2001:0:808:808::f5ff:fffe", "private address"),
        ("224.0.0.1", "multicast address"),
        ("0.0.0.0", "unspecified address"),
        ("240.0.0.1", "reserved address"),
    ],
)
def test_what_was_found_may_only_be_public(address: str, word: str) -> None:
    """EGR-02"""
    assert rules().why_refused(FOUND, ip_address(address)) == word


@pytest.mark.parametrize(
    ("address", "is_let"),
    [
        ("127.0.0.1", True),
        ("10.0.0.1", True),
        ("100.64.0.1", True),
        ("fd00::1", True),
        ("::ffff:10.0.0.1", True),
        ("8.8.8.8", True),
        ("169.254.1.1", False),
        ("169.254.169.254", False),
        ("100.100.100.200", False),
        ("fd00:ec2::254", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("192.0.2.1", False),
    ],
)
def test_what_the_operator_wrote_may_be_inside_and_no_more(address: str, is_let: bool) -> None:
    """EGR-01: our choice, see `rules`."""
    assert (not rules().why_refused(OWN, ip_address(address))) is is_let


def test_the_word_is_for_one_port() -> None:
    assert rules().why_refused(destination("db.example.com", 22), ip_address("10.0.0.1"))
    assert not rules().why_refused(destination("DB.Example.com.", 443), ip_address("10.0.0.1"))


@pytest.mark.parametrize(
    ("entry", "address", "is_let"),
    [
        ("10.1.0.0/16", "10.1.2.3", True),
        ("10.1.0.0/16", "::ffff:10.1.2.3", True),
        ("10.1.0.0/16", "10.2.0.1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("198.18.0.0/15", "198.18.0.1", True),
        ("169.254.169.254", "169.254.169.254", True),
        ("169.254.169.254/32", "169.254.169.254", True),
        ("169.254.0.0/16", "169.254.169.254", False),
        ("0.0.0.0/0", "169.254.169.254", False),
        ("0.0.0.0/0", "10.0.0.1", True),
        ("0.0.0.0/0", "224.0.0.1", False),
        ("::/0", "fe80::1", False),
        ("idp.example.com", "10.0.0.1", True),
        ("IDP.Example.com.", "10.0.0.1", True),
        ("*.example.com", "10.0.0.1", True),
        ("*.other.com", "10.0.0.1", False),
        ("example.com", "10.0.0.1", False),
        ("*.example.com", "169.254.169.254", False),
    ],
)
def test_an_entry_lets_in_what_it_names(entry: str, address: str, is_let: bool) -> None:
    """EGR-01: a link-local or metadata address needs an entry of its own."""
    assert (not rules(entry).why_refused(FOUND, ip_address(address))) is is_let


@pytest.mark.parametrize("address", ["8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_denied_network_is_denied_to_all(address: str) -> None:
    assert rules("8.8.8.8", deny=("8.8.8.0/24",)).why_refused(OWN, ip_address(address)) == "denied by egress.deny"


def test_a_wrapping_can_be_denied_as_such() -> None:
    assert rules(deny=("64:ff9b::/96",)).why_refused(OWN, ip_address("64:ff9b::808:808"))


def test_only_development_has_loopback_for_what_is_found() -> None:
    loopback = ip_address("127.0.0.1")
    assert not compile_rules(allow=None, is_development=True).why_refused(FOUND, loopback)
    assert compile_rules(allow=None).why_refused(FOUND, loopback)
    assert compile_rules(allow=[], is_development=True).why_refused(FOUND, loopback)


@pytest.mark.parametrize(
    "entry", ["10.0.0.1/8", "ten", "*", "*.", "*.*.x", "a b", "127.1", "https://x", "a/b", "ä.de", ""]
)
def test_an_entry_that_is_neither_is_refused(entry: str) -> None:
    if entry == "ten":
        assert EgressConfig(allow=[entry]).allow == ["ten"]  # a name without dots is one
        return
    with pytest.raises(ValueError, match=r"egress\.allow"):
        EgressConfig(allow=[entry])


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "127.0.0.1.",
        "1.2.3.256",
        "a.0x10",
        "127。0。0。1",
        "ⓛocalhost",
        "\uff11\uff12\uff17.0.0.1",
        "exämple.com",
        "a..b",
        "-a.b",
        "a b",
        "a/b",
        "a%2eb",
        "a\x00b",
        "",
        ".",
        "x" * 64 + ".com",
        "a." * 130 + "com",
    ],
)
def test_a_host_that_could_be_read_as_two_things_is_odd(host: str) -> None:
    """EGR-02: `inet_aton` reads the first as loopback, CPython folds the full-width ones to it."""
    assert why_odd(host)


@pytest.mark.parametrize(
    "host", ["example.com", "localhost", "xn--exmple-cua.com", "a_b.c", "10.0.0.1", "::1", "x.y.", "1a.b2"]
)
def test_an_ordinary_host_is_not(host: str) -> None:
    assert not why_odd(host)


def test_families_take_turns() -> None:
    """RFC 8305 section 4"""
    texts = ["2606::1", "2606::2", "2606::3", "8.8.8.8", "8.8.4.4", "2606::1"]
    assert [str(each) for each in in_turn(map(ip_address, texts))] == [
        "2606::1",
        "8.8.8.8",
        "2606::2",
        "8.8.4.4",
        "2606::3",
    ]
    assert in_turn([]) == ()

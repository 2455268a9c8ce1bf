"""The PROXY protocol, version 2 (HTTP-09; spec 3.8)."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mantlet.listeners.proxy_protocol.header import (
    MAX_REST_BYTES,
    PREFIX_BYTES,
    SIGNATURE,
    NotProxied,
    crc32c,
    parse,
    rest_bytes,
)

TCP4 = ipaddress.ip_address("192.0.2.7").packed + ipaddress.ip_address("10.0.0.1").packed + b"\x12\x34\x01\xbb"
TCP6 = ipaddress.ip_address("2001:db8::7").packed + ipaddress.ip_address("2001:db8::1").packed + b"\x12\x34\x01\xbb"
MAPPED = ipaddress.ip_address("::ffff:192.0.2.7").packed * 2 + bytes(4)


def header(rest: bytes, command: int = 0x21, family: int = 0x11, length: int | None = None) -> tuple[bytes, bytes]:
    size = len(rest) if length is None else length
    return SIGNATURE + bytes([command, family]) + size.to_bytes(2, "big"), rest


def extra(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


def with_crc(wrong: int = 0) -> tuple[bytes, bytes]:
    prefix, rest = header(TCP4 + extra(3, bytes(4)) + extra(1, b"h2"))
    value = crc32c(prefix + rest) ^ wrong
    return prefix, rest.replace(extra(3, bytes(4)), extra(3, value.to_bytes(4, "big")))


@pytest.mark.parametrize(
    ("given_header", "source"),
    [
        (header(TCP4), "192.0.2.7"),
        (header(TCP6, family=0x21), "2001:db8::7"),
        (header(MAPPED, family=0x21), "192.0.2.7"),
        (header(TCP4 + extra(1, b"h2") + extra(0x20, b"\x01" + bytes(4)) + extra(4, b"")), "192.0.2.7"),
        (with_crc(), "192.0.2.7"),
        (header(b"", command=0x20, family=0), ""),
        (header(TCP4, command=0x20), ""),
        (header(b"whatever it says", command=0x21, family=0), ""),
    ],
)
def test_the_source_is_the_client_and_local_is_the_balancer_itself(
    given_header: tuple[bytes, bytes], source: str
) -> None:
    assert parse(*given_header).source == source


@pytest.mark.parametrize(
    "bad",
    [
        header(TCP4, command=0x11),
        header(TCP4, command=0x22),
        header(TCP4, family=0x12),
        header(TCP4, family=0x31),
        header(TCP4, family=0x01),
        header(TCP4, family=0xFF),
        header(TCP4[:-1]),
        header(TCP4, family=0x21),
        header(TCP4, length=13),
        header(TCP4 + b"\x01"),
        header(TCP4 + b"\x01\x00"),
        header(TCP4 + b"\x01\x00\x05abcd"),
        header(TCP4 + bytes(MAX_REST_BYTES)),
        header(bytes(12)),
        header(b"\xe0\x00\x00\x01" + TCP4[4:]),
        header(TCP4 + extra(3, b"abc")),
        with_crc(wrong=1),
        (b"PROXY TCP4 192.0.", b"2.7 10.0.0.1 1 2\r\n"),
        (b"GET / HTTP/1.1\r\n", b""),
        (SIGNATURE, b""),
    ],
)
def test_what_is_odd_is_refused(bad: tuple[bytes, bytes]) -> None:
    with pytest.raises(NotProxied):
        parse(*bad)


def test_the_checksum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283


@given(st.binary(max_size=400))
def test_nothing_but_a_refusal_comes_of_noise(rest: bytes) -> None:
    """A fuzz over everything behind the signature."""
    noise = SIGNATURE + rest
    prefix = noise[:PREFIX_BYTES]
    try:
        if len(prefix) == PREFIX_BYTES:
            source = parse(prefix, noise[PREFIX_BYTES : PREFIX_BYTES + rest_bytes(prefix)]).source
            assert not source or ipaddress.ip_address(source)
    except NotProxied:
        pass


@given(st.binary(min_size=16, max_size=16), st.binary(max_size=64))
def test_a_foreign_beginning_is_never_taken(prefix: bytes, rest: bytes) -> None:
    if not prefix.startswith(SIGNATURE):
        with pytest.raises(NotProxied):
            parse(prefix, rest)


@given(st.integers(0, len(TCP4) + 20), st.integers(0, 255))
def test_no_changed_byte_passes_under_a_checksum(at: int, byte: int) -> None:
    prefix, rest = with_crc()
    whole = bytearray(prefix + rest)
    at %= len(whole)
    if whole[at] == byte:
        return
    whole[at] = byte
    try:
        source = parse(bytes(whole[:PREFIX_BYTES]), bytes(whole[PREFIX_BYTES:])).source
    except NotProxied:
        return
    # What remains: another command or family (the balancer speaks for itself), or a type that is no checksum any more.
    assert source == "" or at >= PREFIX_BYTES + len(TCP4)

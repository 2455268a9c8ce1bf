"""Reading one header (HAProxy's "The PROXY protocol", version 2). Pure, and strict: what is odd is refused.

Version 1, a line of text, is refused: it cannot be told from a request, and has no checksum.
"""

import ipaddress
from collections.abc import Iterator
from typing import Final, NamedTuple

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
PREFIX_BYTES: Final = 16
"""Signature, version and command, family, length: how long the rest is stands in it."""
MAX_REST_BYTES: Final = 2048
"""Addresses and what a balancer adds (its TLS, its names); it is sent before anything is known of the client."""
_VERSION: Final = 0x20
_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED: Final = 0x00
_TCP4, _TCP6 = 0x11, 0x21
_ADDRESS_BYTES: Final = {_TCP4: 4, _TCP6: 16}
_PORTS_BYTES: Final = 4
_CRC32C: Final = 0x03


class NotProxied(ValueError):
    """What stands at the beginning of a connection is no acceptable header."""


class Header(NamedTuple):
    """Who connected to the balancer; empty when it speaks for itself (a health check) or does not know."""

    source: str


def rest_bytes(prefix: bytes) -> int:
    """How many bytes follow the first `PREFIX_BYTES`. Raises `NotProxied`."""
    if not prefix.startswith(SIGNATURE):
        raise NotProxied("no PROXY protocol version 2 header")
    if prefix[12] not in (_LOCAL, _PROXY):
        raise NotProxied("unknown version or command")
    length = int.from_bytes(prefix[14:16], "big")
    if length > MAX_REST_BYTES:
        raise NotProxied("the header is too long")
    return length


def parse(prefix: bytes, rest: bytes) -> Header:
    """The whole header. Raises `NotProxied`."""
    if len(prefix) != PREFIX_BYTES or rest_bytes(prefix) != len(rest):
        raise NotProxied("the header is not whole")
    family = prefix[13]
    if prefix[12] == _LOCAL:
        # The receiver must ignore the addresses; what else it says must be sound all the same.
        return Header("")
    if family == _UNSPECIFIED:
        return Header("")
    size = _ADDRESS_BYTES.get(family)
    if size is None:
        raise NotProxied("neither TCP over IPv4 nor over IPv6")
    end = 2 * size + _PORTS_BYTES
    if len(rest) < end:
        raise NotProxied("the addresses are not whole")
    for kind, at, length in _extras(rest, end):
        if kind == _CRC32C:
            _check_crc(prefix + rest, PREFIX_BYTES + at, length)
    source = ipaddress.ip_address(rest[:size])
    if isinstance(source, ipaddress.IPv6Address) and source.ipv4_mapped is not None:
        source = source.ipv4_mapped
    if source.is_unspecified or source.is_multicast:
        raise NotProxied("the source is nobody's address")
    return Header(str(source))


def _extras(rest: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """Type, place of the value and its length of each extra (TLV): they must fill the header exactly."""
    while at < len(rest):
        length = int.from_bytes(rest[at + 1 : at + 3], "big")
        if at + 3 + length > len(rest) or len(rest) - at < 3:
            raise NotProxied("an extra field is not whole")
        yield rest[at], at + 3, length
        at += 3 + length


def _check_crc(header: bytes, at: int, length: int) -> None:
    if length != 4:
        raise NotProxied("the checksum has another length")
    if crc32c(header[:at] + bytes(4) + header[at + 4 :]) != int.from_bytes(header[at : at + 4], "big"):
        raise NotProxied("the checksum is wrong")


def _table() -> tuple[int, ...]:
    rows = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        rows.append(value)
    return tuple(rows)


_ROWS: Final = _table()


def crc32c(text: bytes) -> int:
    """Castagnoli's checksum (RFC 9260 appendix A)."""
    value = 0xFFFFFFFF
    for byte in text:
        value = value >> 8 ^ _ROWS[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF

"""Who is at the other end: the first hop that is not one of our proxies (HTTP-09)."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_HOPS: Final = 32
"""Entries of `X-Forwarded-For` looked at, from the right."""


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Parse CIDR texts; a bare address is its own network. Raises `ValueError`."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def address_of(peername: Any) -> str:
    """The address of a socket's peer name; `local` for a Unix socket or a peer already gone."""
    if not isinstance(peername, tuple) or not peername:
        return "local"
    return normal(str(peername[0])) or "local"


@lru_cache(maxsize=4096)
def normal(text: str) -> str | None:
    """An address in its one spelling, IPv4-mapped IPv6 as IPv4 and without zone; None when it is not an address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


@lru_cache(maxsize=4096)
def is_within(address: str, trusted: tuple[Network, ...]) -> bool:
    """Whether a normal address lies in one of the networks."""
    if not trusted or address == "local":
        return False
    parsed = ipaddress.ip_address(address)
    return any(parsed.version == network.version and parsed in network for network in trusted)


def first_untrusted(peer: str, forwarded: Sequence[bytes], trusted: tuple[Network, ...]) -> str:
    """Walk `X-Forwarded-For` from right to left and give the first hop that is not a trusted proxy.

    `peer` is who connected. A hop's word counts only while the hop that gave it is trusted; the walk ends at the
    first entry that is no address, since whoever wrote that cannot be believed about what stands left of it.
    """
    if not is_within(peer, trusted):
        return peer
    hops = b",".join(forwarded).split(b",") if forwarded else []
    for entry in hops[: -MAX_HOPS - 1 : -1]:
        hop = _address_in(entry.strip(b" \t"))
        if hop is None:
            return peer
        peer = hop
        if not is_within(peer, trusted):
            return peer
    return peer


def _address_in(entry: bytes) -> str | None:
    # Some proxies add the port: 192.0.2.1:4711, [2001:db8::1]:4711.
    text = entry.decode("latin-1")
    if len(text) > 64:
        return None
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    return normal(text)

"""Addresses in one spelling, and the networks they lie in."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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

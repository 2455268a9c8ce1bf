"""What the lists say of an address. Pure."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LOCAL: Final = "local"
"""What listeners call a peer that has no address: standard streams, a Unix socket."""
_MAPPED_BITS: Final = 96


@dataclass(frozen=True, slots=True)
class Rules:
    """The lists, parsed. `exempt` are those that are never blocked: `never`, `allow`, trusted proxies."""

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()
    exempt: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """`source` is what is scored and blocked as one."""

    source: str
    is_denied: bool
    is_exempt: bool


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Parse CIDR texts, IPv4-mapped ones as IPv4. Raises `ValueError`."""
    return tuple(_plain(ipaddress.ip_network(text)) for text in texts)


def standing(rules: Rules, peer: str) -> Standing:
    """Deny wins; a list of allowed networks excludes all others, and whatever is no address."""
    if peer == LOCAL:
        return Standing(LOCAL, is_denied=False, is_exempt=True)
    try:
        source = source_of(peer)
    except ValueError:
        return Standing(peer, is_denied=bool(rules.allow), is_exempt=True)
    address = _plain(ipaddress.ip_network(peer.partition("%")[0])).network_address
    is_denied = _is_in(address, rules.deny) or (bool(rules.allow) and not _is_in(address, rules.allow))
    return Standing(source, is_denied, _is_in(address, rules.exempt))


def source_of(text: str) -> str:
    """An IPv4 address, or the IPv6 network of 64 bits (one customer has all of it). Raises `ValueError`."""
    network = _plain(ipaddress.ip_network(text.partition("%")[0]))
    if isinstance(network, ipaddress.IPv6Network):
        if network.prefixlen < 64:
            raise ValueError("not one source: an IPv6 source is a network of 64 bits")
        return str(network.supernet(new_prefix=64))
    if network.num_addresses != 1:
        raise ValueError("not one IPv4 address")
    return str(network.network_address)


def _plain(network: Network) -> Network:
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network


def _is_in(address: ipaddress.IPv4Address | ipaddress.IPv6Address, within: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in within)

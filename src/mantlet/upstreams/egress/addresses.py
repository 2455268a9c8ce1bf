"""What kind of place an IP address is. Pure; the tables are IANA's special-purpose registries (RFC 6890).

Not `ipaddress.is_global`: Python 3.11 calls `64:ff9b::a9fe:a9fe`, `2002:a9fe:a9fe::` and `::169.254.169.254` global,
and each of them leads to a cloud's metadata service. So an IPv6 address that carries an IPv4 address is taken apart
first, and whatever no table names is refused rather than believed.
"""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

Kind = Literal[
    "public", "loopback", "private", "shared", "link_local", "metadata", "multicast", "reserved", "unspecified"
]

_METADATA: Final = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # EC2, GCP, Azure, OpenStack, DigitalOcean, Oracle
        "169.254.170.2",  # ECS task credentials
        "169.254.170.23",  # EKS pod identity
        "169.254.42.42",  # Scaleway
        "100.100.100.200",  # Alibaba: in the shared range, so not caught as link-local
        "192.0.0.192",  # Oracle, the older one
        "168.63.129.16",  # Azure's wire server: a public address by any registry
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "fd00:42::42",
        "fe80::a9fe:a9fe",
    )
)

_V4_KINDS: Final[Mapping[str, Kind]] = {
    "0.0.0.0/8": "unspecified",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "shared",
    "127.0.0.0/8": "loopback",
    "169.254.0.0/16": "link_local",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "reserved",
    "192.0.2.0/24": "reserved",
    "192.88.99.0/24": "reserved",
    "192.168.0.0/16": "private",
    "198.18.0.0/15": "reserved",
    "198.51.100.0/24": "reserved",
    "203.0.113.0/24": "reserved",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
}

_V6_KINDS: Final[Mapping[str, Kind]] = {
    "::1/128": "loopback",
    "::/128": "unspecified",
    "2001::/23": "reserved",  # protocols, benchmarks, ORCHID; Teredo, which is in it, was taken apart before
    "2001:db8::/32": "reserved",
    "3fff::/20": "reserved",
    "2000::/3": "public",
    "fc00::/7": "private",
    "fe80::/10": "link_local",
    "fec0::/10": "private",
    "ff00::/8": "multicast",
}
"""In order. What is in none of them is reserved."""

_V4: Final = tuple((IPv4Network(text), kind) for text, kind in _V4_KINDS.items())
_V6: Final = tuple((IPv6Network(text), kind) for text, kind in _V6_KINDS.items())

_LAST_32: Final = tuple(
    IPv6Network(text)
    for text in (
        "::ffff:0:0/96",  # mapped (RFC 4291 section 2.5.5.2)
        "::ffff:0:0:0/96",  # SIIT (RFC 2765)
        "64:ff9b::/96",  # NAT64 (RFC 6052)
        "::/96",  # compatible (RFC 4291 section 2.5.5.1)
    )
)
_TEREDO: Final = IPv6Network("2001::/32")
_6TO4: Final = IPv6Network("2002::/16")
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})
_PLAIN: Final = frozenset({IPv6Address("::"), IPv6Address("::1")})
"""In the compatible range, and not of it."""


def reached(address: Address) -> tuple[Address, ...]:
    """Every address that packets for `address` may end at: itself, or the IPv4 addresses it carries."""
    if isinstance(address, IPv4Address) or address in _PLAIN:
        return (address,)
    bits = int(address)
    if any(address in network for network in _LAST_32):
        return (IPv4Address(bits & 0xFFFF_FFFF),)
    if address in _6TO4:
        return (IPv4Address(bits >> 80 & 0xFFFF_FFFF),)
    if address in _TEREDO:
        return (IPv4Address(bits >> 64 & 0xFFFF_FFFF), IPv4Address(~bits & 0xFFFF_FFFF))
    if (bits >> 32 & 0xFFFF_FFFF) in _ISATAP:
        return (address, IPv4Address(bits & 0xFFFF_FFFF))
    return (address,)


def kind_of(address: Address) -> Kind:
    """The kind of one address as it stands; see `reached`."""
    if address in _METADATA:
        return "metadata"
    if isinstance(address, IPv4Address):
        return next((kind for network, kind in _V4 if address in network), "public")
    if address.scope_id is not None:
        return "link_local"
    return next((kind for network, kind in _V6 if address in network), "reserved")


def network_of(text: str) -> Network:
    """A network or one address, as an operator writes it. Raises `ValueError`, also for set host bits."""
    return ip_network(text)

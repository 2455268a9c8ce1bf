"""Whether a checked address may be connected to. Pure; `guard` asks for every address a name has.

The choice made here: what an operator wrote as a destination is a destination, also on loopback or in a private
network, because that is where upstreams are. Metadata and link-local addresses are not, because nobody means them and
whoever answers for the name could. What was found by asking others has no such word behind it.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final, NamedTuple

from mantlet.upstreams.egress.addresses import Address, Kind, Network, kind_of, network_of, reached
from mantlet.upstreams.egress.hosts import literal, plain, why_odd

_INSIDE: Final[frozenset[Kind]] = frozenset({"loopback", "private", "shared"})
"""Where an operator's own services are."""
_LISTABLE: Final[frozenset[Kind]] = _INSIDE | {"reserved"}
_LISTABLE_ALONE: Final[frozenset[Kind]] = frozenset({"metadata", "link_local"})
"""Only by an entry of their own: nobody who lists a wide network means these."""
_WILD: Final = re.compile(r"\*\.[^*]+")

DEVELOPMENT_ALLOW: Final = ("127.0.0.0/8", "::1/128")


class Destination(NamedTuple):
    """A host, in one spelling, and a port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Allowed:
    """`egress.allow`, taken apart."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()
    below: tuple[str, ...] = ()
    """Each with its leading dot."""


@dataclass(frozen=True, slots=True)
class Rules:
    """`configured` are the destinations that the operator's word covers."""

    allowed: Allowed
    denied: tuple[Network, ...]
    configured: frozenset[Destination]

    def why_refused(self, destination: Destination, address: Address) -> str:
        """Why `address` must not be connected to for `destination`, or empty. The word before a blank is a label."""
        for each in reached(address):
            if any(each in network for network in self.denied):
                return "denied by egress.deny"
            kind = kind_of(each)
            if kind != "public" and not self._may(destination, each, kind):
                return f"{kind} address"
        if any(address in network for network in self.denied):
            return "denied by egress.deny"
        return ""

    def _may(self, destination: Destination, address: Address, kind: Kind) -> bool:
        if kind in _LISTABLE_ALONE:
            return any(address in each and each.num_addresses == 1 for each in self.allowed.networks)
        if kind in _INSIDE and (destination in self.configured or self._is_listed(destination.host)):
            return True
        return kind in _LISTABLE and any(address in each for each in self.allowed.networks)

    def _is_listed(self, host: str) -> bool:
        return host in self.allowed.hosts or host.endswith(self.allowed.below)


def compile_rules(
    *,
    allow: Iterable[str] | None,
    deny: Iterable[str] = (),
    configured: Collection[Destination] = (),
    is_development: bool = False,
) -> Rules:
    """Raises `ValueError` for an entry that is neither a network nor a name."""
    default = DEVELOPMENT_ALLOW if is_development else ()
    return Rules(
        read_allowed(default if allow is None else allow), read_networks(deny, "egress.deny"), frozenset(configured)
    )


def read_allowed(entries: Iterable[str]) -> Allowed:
    """Networks and names of `egress.allow`. Raises `ValueError`."""
    networks: list[Network] = []
    hosts: set[str] = set()
    below: list[str] = []
    for entry in entries:
        if "/" in entry or literal(entry) is not None:
            networks += read_networks([entry], "egress.allow")
            continue
        name = entry.removeprefix("*.")
        if why := why_odd(name) or ("" if name == entry or _WILD.fullmatch(entry) else "is no host name"):
            raise ValueError(f"egress.allow: {entry!r} {why}")
        if name == entry:
            hosts.add(plain(name))
        else:
            below.append("." + plain(name))
    return Allowed(tuple(networks), frozenset(hosts), tuple(below))


def read_networks(entries: Iterable[str], where: str) -> tuple[Network, ...]:
    """Raises `ValueError` that names the entry."""
    found: list[Network] = []
    for entry in entries:
        try:
            found.append(network_of(entry))
        except ValueError as error:
            raise ValueError(f"{where}: {entry!r} is no network: {error}") from None
    return tuple(found)


def destination(host: str, port: int) -> Destination:
    """In one spelling."""
    address = literal(host)
    return Destination(plain(host) if address is None else address.compressed, port)


def in_turn(addresses: Iterable[Address]) -> tuple[Address, ...]:
    """The families taken in turn, the resolver's first one first (RFC 8305 section 4)."""
    left = list(dict.fromkeys(addresses))
    if not left:
        return ()
    is_v4 = isinstance(left[0], IPv4Address)
    first = [each for each in left if isinstance(each, IPv4Address) == is_v4]
    other = [each for each in left if isinstance(each, IPv4Address) != is_v4]
    mixed: list[Address] = []
    for number in range(max(len(first), len(other))):
        mixed += first[number : number + 1] + other[number : number + 1]
    return tuple(mixed)

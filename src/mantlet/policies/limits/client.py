"""Who is counted: the authenticated principal, else the client's network (RATE-02)."""

import ipaddress
from functools import lru_cache
from typing import Final

from mantlet.core.caller import Caller
from mantlet.core.ports import LimitKey

PRINCIPAL: Final = "principal"
NETWORK: Final = "network"


def client_of(caller: Caller | None, peer: str) -> LimitKey:
    """The key that all windows of one client begin with."""
    return (PRINCIPAL, *caller.key) if caller is not None else network_of(peer)


# Parsing an address takes 5 µs; bounded, so a flood from many addresses costs time and no memory.
@lru_cache(maxsize=8192)
def network_of(peer: str) -> LimitKey:
    """IPv4 /32, IPv6 /64: one subscriber commonly holds a whole /64, and could use a new address for every call.

    What is no address (a Unix socket's peer) counts as one client by its own name.
    """
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return (NETWORK, peer)
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return (NETWORK, str(ipaddress.IPv6Network((address, 64), strict=False)))
        address = address.ipv4_mapped
    return (NETWORK, f"{address}/32")

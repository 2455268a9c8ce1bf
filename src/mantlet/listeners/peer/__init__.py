"""Who is at the other end of a connection."""

from mantlet.listeners.peer.address import Network, address_of, is_within, networks, normal
from mantlet.listeners.peer.forwarded import FORWARDED, X_FORWARDED_FOR, first_untrusted

__all__ = [
    "FORWARDED",
    "X_FORWARDED_FOR",
    "Network",
    "address_of",
    "first_untrusted",
    "is_within",
    "networks",
    "normal",
]

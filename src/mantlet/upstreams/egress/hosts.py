"""Which names are asked about at all. Pure.

Resolvers are generous: to `inet_aton` the names `127.1`, `0x7f.1` and `2130706433` are loopback, and C libraries fold
full-width digits and dots. What could be read as two things is refused before anybody reads it.
"""

import re
from ipaddress import ip_address
from typing import Final

from mantlet.upstreams.egress.addresses import Address

MAX_NAME_CHARACTERS: Final = 253

_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


def literal(host: str) -> Address | None:
    """The address that `host` is, or None for a name."""
    if not host.isascii():
        return None
    try:
        return ip_address(host)
    except ValueError:
        return None


def why_odd(host: str) -> str:
    """Why `host` is neither an address nor a name that is one thing only, or empty."""
    if literal(host) is not None:
        return ""
    if not host.isascii() or not _NAME.fullmatch(host) or len(host) > MAX_NAME_CHARACTERS:
        return "is no host name"
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return "ends in a number and is no IPv4 address"  # WHATWG URL, "ends in a number checker"
    return ""


def plain(host: str) -> str:
    """One spelling for one name."""
    return host.lower().rstrip(".")

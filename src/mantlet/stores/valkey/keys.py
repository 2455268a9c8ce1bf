"""Names in the shared store: tuples, joined so that no two can meet."""

import hashlib
from typing import Final
from urllib.parse import quote

from mantlet.core.ports import LimitKey

PREFIX: Final = "mantlet:{limits}"
"""The braces put all limits into one slot of a cluster: a call's charges must be counted in one step."""
MARK: Final = f"{PREFIX}:mark".encode()
"""Tells one life of the store's data from another. No window can have this name: theirs end in a width."""
_LONGEST_PART: Final = 256


def escaped(part: str) -> str:
    """`part` with everything but letters, digits and `_.-~` as %XX: no separator, no brace, no wildcard survives.

    Very long parts (an issuer may send any subject) become a digest, marked by `%%`, which escaping never makes.
    """
    if len(part) > _LONGEST_PART:
        return "%%" + hashlib.sha256(part.encode("utf-8", "surrogatepass")).hexdigest()
    return quote(part, safe="", errors="surrogatepass")


def under(prefix: LimitKey) -> str:
    """The beginning of the names of all windows whose key starts with `prefix`. Has no wildcard in it."""
    return ":".join([PREFIX, *map(escaped, prefix), ""])


def name_of(key: LimitKey, width_us: int) -> bytes:
    """The name of one window. The width stands last: windows of other lengths are other windows, under one prefix."""
    return f"{under(key)}{width_us}".encode()

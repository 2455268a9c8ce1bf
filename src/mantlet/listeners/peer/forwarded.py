"""The first hop that is not one of our proxies, by what those say of whom they forward (HTTP-09).

A proxy writes one of two fields, `X-Forwarded-For` or `Forwarded` (RFC 7239), and passes the other on as its client
sent it. So only the one that the configuration names is ever read: to believe whichever is there would let a client
write the one that its proxy does not.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from mantlet.listeners.peer.address import Network, is_within, normal

X_FORWARDED_FOR: Final = b"x-forwarded-for"
FORWARDED: Final = b"forwarded"
MAX_HOPS: Final = 32
"""Entries looked at, from the right."""
MAX_ELEMENT_BYTES: Final = 512
"""Of one element of `Forwarded`."""

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED: Final = rb'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t\x20-\x7e\x80-\xff])*"'
_PAIR: Final = rb"(%b)=(%b|%b)" % (_TOKEN, _TOKEN, _QUOTED)
_ONE: Final = re.compile(_PAIR)
_ELEMENT: Final = re.compile(rb"[ \t]*(%b(?:;%b)*)[ \t]*" % (_PAIR, _PAIR))
_ESCAPE: Final = re.compile(rb"\\(.)")


def first_untrusted(
    peer: str, values: Sequence[bytes], trusted: tuple[Network, ...], field: bytes = X_FORWARDED_FOR
) -> str:
    """Walk the values of `field` from right to left and give the first hop that is not a trusted proxy.

    `peer` is who connected. A hop's word counts only while the hop that gave it is trusted; the walk ends at the
    first entry that is no address, since whoever wrote that cannot be believed about what stands left of it.
    """
    if not is_within(peer, trusted):
        return peer
    for hop in _hops(values) if field == X_FORWARDED_FOR else _elements(values):
        if hop is None:
            return peer
        peer = hop
        if not is_within(peer, trusted):
            return peer
    return peer


def _hops(values: Sequence[bytes]) -> Iterator[str | None]:
    entries = b",".join(values).split(b",") if values else []
    for entry in entries[: -MAX_HOPS - 1 : -1]:
        yield _address_in(entry.strip(b" \t"))


def _elements(values: Sequence[bytes]) -> Iterator[str | None]:
    """The `for` of each element, from the right; None, and the end, for what is not well-formed.

    Read from the right because what stands there is a trusted proxy's, and what stands left of it may be anybody's:
    a reader from the left could be led past the proxy's word by a quotation mark that is never closed.
    """
    text = b",".join(values)
    for _ in range(MAX_HOPS):
        if not text.strip(b" \t"):
            return
        text, comma, element = _last(text)
        yield None if element is None else _address_in(element)
        if not comma:
            return


def _last(text: bytes) -> tuple[bytes, bytes, bytes | None]:
    """What stands before the last element, the comma between, and the last element's `for`."""
    end = len(text)
    while True:
        # The shortest ending that is a whole element: a comma may stand inside quotation marks.
        at = text.rfind(b",", max(0, len(text) - MAX_ELEMENT_BYTES), end)
        if (match := _ELEMENT.fullmatch(text, at + 1)) is not None:
            return text[: max(at, 0)], b"," if at >= 0 else b"", _for(match[1])
        if at < 0:
            return b"", b"", None
        end = at


def _for(element: bytes) -> bytes | None:
    found = [value for name, value in _ONE.findall(element) if name.lower() == b"for"]
    if len(found) != 1:
        return None
    value: bytes = found[0]
    return _ESCAPE.sub(rb"\1", value[1:-1]) if value.startswith(b'"') else value


def _address_in(entry: bytes) -> str | None:
    # With a port, as some write it: 192.0.2.1:4711, [2001:db8::1]:4711.
    text = entry.decode("latin-1")
    if len(text) > 64:
        return None
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    return normal(text)

"""Messages that have come before, but for their id: read once, recognised after.

Where answers are kept, the same questions come again and again, and reading one costs as much as all else that a hit
needs of it. So the cache has a question that came twice kept here. It is found by all of its bytes but the digits of
its id, and by all that its headers say of it; what is found was read, judged and compared with those headers whole.

That the id stands where it is cut out is proven before a message is kept: with another one in that place it must say
the same, under that other id. From there on any id of the same plain form does.
"""

import re
from typing import Final, NamedTuple

from mantlet.core.call import Call
from mantlet.core.headers import Headers
from mantlet.core.refusal import Refusal
from mantlet.core.said import Said
from mantlet.wire import jsonrpc
from mantlet.wire.jsonrpc import Bounds, Envelope
from mantlet.wire.mcp import inbound
from mantlet.wire.mcp.inbound import Inbound, Routing

MAX_MESSAGES: Final = 4_096
MAX_BYTES: Final = 2_048
"""Of one. With what was decoded of it some 8 KB at most, all of them 32 MB; usually a quarter of that."""

_MEMBER: Final = b'"id":'
_ID: Final = re.compile(rb' ?(0|[1-9][0-9]{0,14}|"[A-Za-z0-9_.:-]{1,64}")')
_OTHERS: Final = (b"271828182845904", b"314159265358979")

Place = tuple[Routing, bytes, bytes]


class Read(NamedTuple):
    """What a message said."""

    envelope: Envelope
    what: Inbound
    target: str
    said: Said


class Repeated:
    """Those of one configuration, the first that came first out."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._known: dict[Place, Read] = {}

    def find(self, body: bytes, headers: Headers) -> Read | None:
        """What `body` says under `headers`, if it came before."""
        cut = _cut(body) if self._known else None
        if cut is None or headers.has_repeats:
            return None
        before, raw_id, after = cut
        try:
            known = self._known.get((headers.once(inbound.routing_of), before, after))
        except Refusal:  # a header that says nothing: whoever reads the message says so
            return None
        if known is None:
            return None
        identity = raw_id[1:-1].decode() if raw_id[:1] == b'"' else int(raw_id)
        method, params, message = known.envelope[1:]
        return Read(Envelope(raw_id, method, params, {**message, "id": identity}), *known[1:])

    def keep(self, call: Call) -> None:
        """Know `call`'s message again, which is as it came."""
        said, body, headers = call.said, call.body, call.arrival.headers
        if said is None or said.is_kept or len(body) > MAX_BYTES or headers.has_repeats:
            return
        said.is_kept = True  # or cannot be: not tried again
        cut = _cut(body)
        if cut is None or cut[1] != call.id:
            return
        before, raw_id, after = cut
        other = _OTHERS[raw_id == _OTHERS[0]]
        try:
            message = jsonrpc.decode(before + other + after, self._bounds)
        except Refusal:
            return
        if message != {**call.message, "id": int(other)}:
            return
        if len(self._known) >= MAX_MESSAGES:
            del self._known[next(iter(self._known))]
        envelope = Envelope(call.id, call.method, call.params, call.message)
        read = Read(envelope, Inbound(call.kind, call.era, ""), call.target, said)
        self._known[headers.once(inbound.routing_of), before, after] = read

    def __len__(self) -> int:
        return len(self._known)


def _cut(body: bytes) -> tuple[bytes, bytes, bytes] | None:
    """What stands before the first id, that id, and what stands after it."""
    at = body.find(_MEMBER) + len(_MEMBER)
    found = _ID.match(body, at) if at >= len(_MEMBER) else None
    if found is None:
        return None
    start, end = found.span(1)
    return body[:start], found[1], body[end:]

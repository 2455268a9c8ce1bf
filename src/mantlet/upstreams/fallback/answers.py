"""The last good answers of each caller, for `cached` fallbacks. In memory, bounded, never another caller's."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from mantlet.core.call import Call

MAX_ANSWERS: Final = 1_000
MAX_BYTES: Final = 16_777_216
MAX_ANSWER_BYTES: Final = 1_048_576
FAIR: Final = 8
"""One part in so many of all that is a caller's for certain."""

_KINDS: Final = {"completion": ("prompts", "resources")}
"""What completions are made of; of everything else the method's own first part tells."""

Key = tuple[object, ...]
Principal = tuple[str, str, str]
"""`Caller.key`."""
_sorted: Final = msgspec.json.Encoder(order="deterministic").encode


class Answers(Protocol):
    """What `cached` gives. Kept apart by caller, and by the `consent` by which it was fetched: the same call of another
    finds nothing."""

    @property
    def era(self) -> int:
        """Another number after anything was forgotten."""
        ...

    def keep(self, call: Call, result: bytes, era: int, /, consent: str = "") -> None:
        """Remember `result`, raw JSON, as the answer to `call`, which was sent when `era` was that."""
        ...

    def forget(self, scope: str, /) -> None:
        """What was kept of `SERVER/KIND` (tools, prompts, resources), of `SERVER`, or with nothing of all, is old."""
        ...

    def find(self, call: Call, max_age_s: float, /, consent: str = "") -> bytes | None:
        """The last one that was kept, if it is not older."""
        ...


def key_of(call: Call, consent: str = "") -> Key:
    """The caller, with all that is decided on, and the call without what differs from one time to the next."""
    caller = call.caller
    params = {name: value for name, value in call.params.items() if name != "_meta"}
    rights = (caller.key, caller.kind, caller.roles, caller.scopes, caller.act)
    return (*rights, consent, call.era, call.server, call.method, _sorted(params))


class _Share:
    """What one caller has, the longest unused first."""

    __slots__ = ("keys", "size_bytes")

    def __init__(self) -> None:
        self.keys: OrderedDict[Key, None] = OrderedDict()
        self.size_bytes = 0

    @property
    def is_large(self) -> bool:
        return len(self.keys) > MAX_ANSWERS // FAIR or self.size_bytes > MAX_BYTES // FAIR


class MemoryAnswers:
    """`Answers` of one process. Where there is no more room the longest unused go first, those of callers that have
    more than a fair part before all others: so nobody can push out what the others would need."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._kept: OrderedDict[Key, tuple[float, bytes, tuple[str, ...], Principal]] = OrderedDict()
        self._shares: dict[Principal, _Share] = {}
        self._large: dict[Principal, None] = {}
        """Those who have more than their part."""
        self.size_bytes = 0
        self.era = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, call: Call, result: bytes, era: int, /, consent: str = "") -> None:
        """See the port. What was asked before a change and answered after it is not kept: what it tells is unknown."""
        key, principal = key_of(call, consent), call.caller.key
        self._drop(key)
        if len(result) > MAX_ANSWER_BYTES or era != self.era:
            return
        self._kept[key] = (self._monotonic(), result, _scopes(call), principal)
        share = self._shares.setdefault(principal, _Share())
        share.keys[key] = None
        share.size_bytes += len(result)
        self.size_bytes += len(result)
        if share.is_large:
            self._large[principal] = None
        while len(self._kept) > MAX_ANSWERS or self.size_bytes > MAX_BYTES:
            self._drop(self._least_missed())

    def forget(self, scope: str, /) -> None:
        """See the port."""
        self.era += 1
        for key in [key for key, (_, _, scopes, _) in self._kept.items() if scope in scopes]:
            self._drop(key)

    def find(self, call: Call, max_age_s: float, /, consent: str = "") -> bytes | None:
        """See the port."""
        key = key_of(call, consent)
        found = self._kept.get(key)
        if found is None or self._monotonic() - found[0] > max_age_s:
            return None
        self._kept.move_to_end(key)
        self._shares[found[3]].keys.move_to_end(key)
        return found[1]

    def _drop(self, key: Key) -> None:
        dropped = self._kept.pop(key, None)
        if dropped is None:
            return
        _, result, _, principal = dropped
        self.size_bytes -= len(result)
        share = self._shares[principal]
        del share.keys[key]
        share.size_bytes -= len(result)
        if not share.is_large:
            self._large.pop(principal, None)
        if not share.keys:
            del self._shares[principal]

    def _least_missed(self) -> Key:
        large = next(iter(self._large), None)
        return next(iter(self._kept if large is None else self._shares[large].keys))


def _scopes(call: Call) -> tuple[str, ...]:
    """What can make the answer to `call` old."""
    first = call.method.partition("/")[0]
    return "", call.server, *(f"{call.server}/{kind}" for kind in _KINDS.get(first, (first,)))

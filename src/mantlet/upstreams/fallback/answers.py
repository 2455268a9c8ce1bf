"""The last good answers of each caller, for `cached` fallbacks. In memory, bounded, never another caller's."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from mantlet.core.call import Call

MAX_ANSWERS: Final = 1_000
MAX_BYTES: Final = 16_777_216
MAX_ANSWER_BYTES: Final = 1_048_576

_KINDS: Final = {"completion": ("prompts", "resources")}
"""What completions are made of; of everything else the method's own first part tells."""

Key = tuple[object, ...]
_sorted: Final = msgspec.json.Encoder(order="deterministic").encode


class Answers(Protocol):
    """What `cached` gives. Kept apart by caller: the same call of another finds nothing."""

    @property
    def era(self) -> int:
        """Another number after anything was forgotten."""
        ...

    def keep(self, call: Call, result: bytes, era: int, /) -> None:
        """Remember `result`, raw JSON, as the answer to `call`, which was sent when `era` was that."""
        ...

    def forget(self, scope: str, /) -> None:
        """What was kept of `SERVER/KIND` (tools, prompts, resources), of `SERVER`, or with nothing of all, is old."""
        ...

    def find(self, call: Call, max_age_s: float, /) -> bytes | None:
        """The last one that was kept, if it is not older."""
        ...


def key_of(call: Call) -> Key:
    """The caller, with all that is decided on, and the call without what differs from one time to the next."""
    caller = call.caller
    params = {name: value for name, value in call.params.items() if name != "_meta"}
    rights = (caller.key, caller.kind, caller.roles, caller.scopes, caller.act)
    return (*rights, call.era, call.server, call.method, _sorted(params))


class MemoryAnswers:
    """`Answers` of one process; the longest unused go first."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._kept: OrderedDict[Key, tuple[float, bytes, tuple[str, ...]]] = OrderedDict()
        self.size_bytes = 0
        self.era = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, call: Call, result: bytes, era: int, /) -> None:
        """See the port. What was asked before a change and answered after it is not kept: what it tells is unknown."""
        key = key_of(call)
        self._drop(key)
        if len(result) > MAX_ANSWER_BYTES or era != self.era:
            return
        self._kept[key] = (self._monotonic(), result, _scopes(call))
        self.size_bytes += len(result)
        while len(self._kept) > MAX_ANSWERS or self.size_bytes > MAX_BYTES:
            self._drop(next(iter(self._kept)))

    def forget(self, scope: str, /) -> None:
        """See the port."""
        self.era += 1
        for key in [key for key, (_, _, scopes) in self._kept.items() if scope in scopes]:
            self._drop(key)

    def find(self, call: Call, max_age_s: float, /) -> bytes | None:
        """See the port."""
        key = key_of(call)
        found = self._kept.get(key)
        if found is None or self._monotonic() - found[0] > max_age_s:
            return None
        self._kept.move_to_end(key)
        return found[1]

    def _drop(self, key: Key) -> None:
        if (dropped := self._kept.pop(key, None)) is not None:
            self.size_bytes -= len(dropped[1])


def _scopes(call: Call) -> tuple[str, ...]:
    """What can make the answer to `call` old."""
    first = call.method.partition("/")[0]
    return "", call.server, *(f"{call.server}/{kind}" for kind in _KINDS.get(first, (first,)))

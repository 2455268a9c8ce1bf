"""A server's answer as it is kept, and as it is told to each who asks. Pure."""

from dataclasses import dataclass, replace
from typing import Final

import msgspec

from mantlet.core.call import Hints
from mantlet.policies.cache.plan import Terms

STALE: Final = "mantlet/stale"
"""In `_meta` of a result whose time is over: for how many seconds (CACHE-04)."""
STEPS: Final = 16
"""Parts of a server's `ttlMs` in which what is left of it is told. Rounded down, so never too long; and few enough that
steps which remember what they made of a list's bytes see the same bytes again."""

Raw = msgspec.Raw
_UNSET: Final = msgspec.UNSET


class _Message(msgspec.Struct):
    id: Raw | msgspec.UnsetType = _UNSET
    method: Raw | msgspec.UnsetType = _UNSET
    result: Raw | msgspec.UnsetType = _UNSET
    error: Raw | msgspec.UnsetType = _UNSET


class _Result(msgspec.Struct):
    resultType: Raw = Raw(b'"complete"')  # noqa: N815 - the specification's spelling, as below
    ttlMs: Raw | msgspec.UnsetType = _UNSET  # noqa: N815
    cacheScope: Raw = Raw(b'"private"')  # noqa: N815
    isError: Raw = Raw(b"false")  # noqa: N815
    inputRequests: Raw | msgspec.UnsetType = _UNSET  # noqa: N815
    requestState: Raw | msgspec.UnsetType = _UNSET  # noqa: N815
    task: Raw | msgspec.UnsetType = _UNSET
    meta: Raw = msgspec.field(default=Raw(b"{}"), name="_meta")


_MESSAGE: Final = msgspec.json.Decoder(_Message)
_RESULT: Final = msgspec.json.Decoder(_Result)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])
_NUMBER: Final = msgspec.json.Decoder(float)
_encode: Final = msgspec.json.Encoder().encode
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered. `body` is the result without `ttlMs`, or the error, as JSON.

    `hint_ms` is the `ttlMs` that came, or -1 where none did. `is_failure`: an error, or a result that says it is one.
    """

    body: bytes
    status: int = 200
    is_error: bool = False
    is_failure: bool = False
    is_public: bool = False
    hint_ms: int = -1

    @property
    def size(self) -> int:
        """Bytes it takes."""
        return len(self.body)


def read_answer(status: int, body: bytes) -> Answer | None:
    """The answer in a whole JSON-RPC response; None for one that is for one caller and one moment only, or unreadable.

    Not kept: what asks for input or starts a task (its `requestState` or id is somebody's), what is not complete.
    """
    try:
        message = _MESSAGE.decode(body)
        if message.method is not _UNSET or (message.result is _UNSET) == (message.error is _UNSET):
            return None
        if not isinstance(message.error, msgspec.UnsetType):
            return Answer(bytes(message.error), status, is_error=True, is_failure=True)
        assert not isinstance(message.result, msgspec.UnsetType)
        raw = bytes(message.result)
        result = _RESULT.decode(raw)
        if status != 200 or not _is_for_all_time(result):
            return None
        hint_ms = -1
        if not isinstance(result.ttlMs, msgspec.UnsetType):
            hint_ms = _milliseconds(result.ttlMs)
            members = _MEMBERS.decode(raw)
            del members["ttlMs"]
            raw = _encode(members)
    except _UNREADABLE:
        return None
    return Answer(
        raw,
        is_failure=bytes(result.isError) == b"true",
        is_public=bytes(result.cacheScope) == b'"public"',
        hint_ms=hint_ms,
    )


def _is_for_all_time(result: _Result) -> bool:
    return (
        bytes(result.resultType) == b'"complete"'
        and result.inputRequests is _UNSET
        and result.requestState is _UNSET
        and result.task is _UNSET
        and b"related-task" not in bytes(result.meta)
    )


def _milliseconds(raw: Raw) -> int:
    """What a `ttlMs` is worth: 0 for a negative one (Caching, "Time-to-Live") and for what is no number."""
    try:
        value = _NUMBER.decode(raw)
    except msgspec.MsgspecError:
        return 0
    return int(min(max(0.0, value), 2.0**53))


def as_meant(answer: Answer, hints: Hints) -> Answer:
    """`answer`, which crossed from one era to the other, for whom its server said that it is."""
    return replace(answer, is_public=hints.is_public)


def keep_s(answer: Answer, terms: Terms, *, is_legacy: bool, crossed: Hints | None = None) -> float | None:
    """How long `answer` may be kept; 0: only those who wait for it have it; None: only who it was fetched for has it.

    What the server says shortens, and never lengthens (CACHE-02). Of an answer that `crossed` from one era to the other
    that is not what it says itself: the crossing took it out, or put it in. `is_legacy` is the server.
    """
    hint_ms: float = answer.hint_ms
    if crossed is not None:
        hint_ms = -1 if crossed.ttl_ms is None else max(0.0, crossed.ttl_ms)
    if answer.is_failure:
        return min(terms.negative_s, hint_ms / 1000) if hint_ms >= 0 else terms.negative_s
    unhinted_s = terms.legacy_s if is_legacy else terms.unhinted_s
    bound_s = min(terms.ttl_s, hint_ms / 1000) if hint_ms >= 0 else unhinted_s
    return bound_s if bound_s > 0 else None


def told(answer: Answer, raw_id: bytes, age_s: float = 0.0) -> bytes:
    """The response to the request `raw_id`, `age_s` after the server gave it."""
    if answer.is_error:
        return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (raw_id, answer.body)
    if answer.hint_ms < 0:
        return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (raw_id, answer.body)
    left_ms = _left_ms(answer.hint_ms, age_s) if age_s > 0 else answer.hint_ms
    return b'{"jsonrpc":"2.0","id":%b,"result":{"ttlMs":%d%b}' % (raw_id, left_ms, _rest(answer.body))


def told_stale(answer: Answer, raw_id: bytes, over_s: float) -> bytes:
    """The same, `over_s` after its time: marked, and not to be kept by anybody."""
    if answer.is_error:
        return told(answer, raw_id)
    members = _MEMBERS.decode(answer.body)
    try:
        meta = _MEMBERS.decode(members["_meta"]) if "_meta" in members else {}
    except _UNREADABLE:
        meta = {}
    meta[STALE] = Raw(b"%.3f" % max(0.0, over_s))
    members["_meta"] = Raw(_encode(meta))
    body = _encode(members)
    if answer.hint_ms < 0:
        return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (raw_id, body)
    return b'{"jsonrpc":"2.0","id":%b,"result":{"ttlMs":0%b}' % (raw_id, _rest(body))


def _rest(body: bytes) -> bytes:
    """All of an object behind its first member's place."""
    return b"}" if body == b"{}" else b"," + body[1:]


def _left_ms(hint_ms: int, age_s: float) -> int:
    left_ms = max(0, hint_ms - int(age_s * 1000))
    return left_ms - left_ms % max(1000, hint_ms // STEPS)


_HEAD: Final = msgspec.json.Decoder(tuple[int, bool, bool, bool, int])


def dump(answer: Answer) -> bytes:
    """For a store."""
    head = _encode((answer.status, answer.is_error, answer.is_failure, answer.is_public, answer.hint_ms))
    return head + b"\n" + answer.body


def load(text: bytes) -> Answer:
    """What `dump` wrote. Raises `ValueError` for anything else."""
    head, end, body = text.partition(b"\n")
    try:
        status, is_error, is_failure, is_public, hint_ms = _HEAD.decode(head)
        _MEMBERS.decode(body)
    except _UNREADABLE as error:
        raise ValueError("no answer of the cache's") from error
    if not end:
        raise ValueError("no answer of the cache's")
    return Answer(body, status, is_error, is_failure, is_public, hint_ms)

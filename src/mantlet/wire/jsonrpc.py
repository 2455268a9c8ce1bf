"""JSON and JSON-RPC 2.0, read so strictly that no two parsers can disagree about what was said (VAL-01, VAL-02).

Two readers. The standard library's C scanner shows every member, repeated ones too: it decides on anything unusual, and
it says what is wrong. msgspec is five times faster and keeps the last of two equal names in silence; so it may only
answer where it is proven that nothing was dropped: what it read is written again and equals what came (compact JSON, as
nearly all clients send it), or counting says so (`_lost_nothing`). That saves 5, or 3, of 6.5 µs on a 300-byte call.
That both read the same is a test's business (tests/wire/test_jsonrpc_readers.py).
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from mantlet.core.refusal import InvalidJson, InvalidRequest

Json = Any
"""What a JSON text decodes to: dict, list, str, int, float, bool or None."""

MAX_NUMBER_CHARACTERS: Final = 128
"""Longer numbers are refused: no IEEE double needs more, and CPython's int parser is quadratic."""

_LONE_SURROGATE_HINT: Final = re.compile(rb"\\u[dD][89abAB]|\\u[dD][c-fC-F]")
MEMBERS: Final = frozenset({"jsonrpc", "id", "method", "params", "result", "error"})


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much structure a message may have. Size in bytes is bounded where the body is read."""

    max_depth: int = 64
    max_keys: int = 10_000


class Envelope(NamedTuple):
    """One JSON-RPC message: `id` as raw JSON, None for a notification; `method` empty for a response.

    A tuple, because making a frozen dataclass costs 1 µs a call.
    """

    id: bytes | None
    method: str
    params: Mapping[str, Json]
    message: Mapping[str, Json]

    @property
    def is_response(self) -> bool:
        """Whether it answers a request of ours."""
        return not self.method


def decode(body: bytes, bounds: Bounds = Bounds()) -> Json:
    """Decode `body`, or raise `InvalidJson` for anything that RFC 8259 or two parsers might read differently."""
    if b"\\u" not in body and body.count(b"{") + body.count(b"[") <= bounds.max_depth:
        colons = body.count(b":")
        if colons <= bounds.max_keys:
            try:
                value = _FAST.decode(body)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                pass  # the strict reader says why
            else:
                if _is_as_written(value, body) or _lost_nothing(value, colons):
                    return value
    return _decode_strictly(body, bounds)


def _is_as_written(value: Json, body: bytes) -> bool:
    """Whether `body` is what `value` is written as, member for member and digit for digit."""
    if type(value) is not dict or _LONG_NUMBER in body.translate(_DIGITS):
        return False
    return _ENCODER.encode(value) == body


def _lost_nothing(value: Json, colons: int) -> bool:
    """Whether `value`, read from a text with so many colons and no `\\u` escape, is all that the text says.

    Each member has a colon, and so has each one that a repeated name pushed out; all other colons stand in strings, and
    those of the strings that were kept are here. So if the numbers agree, nothing is missing. Numbers that two parsers
    might round differently are left to the strict reader, too.
    """
    members = 0
    pending = [value]
    for container in pending:  # grows while it is walked
        if type(container) is dict:
            members += len(container)
            inner: Iterable[Json] = container.values()
        elif type(container) is list:
            inner = container
        else:
            return False  # no message
        for item in inner:
            kind = type(item)
            if kind is dict or kind is list:
                pending.append(item)
            elif kind is float or (kind is int and not -_SAFE_INTEGER <= item <= _SAFE_INTEGER):
                return False
    return members == colons or members + _colons_in_strings(pending) == colons


def _colons_in_strings(containers: Sequence[Json]) -> int:
    found = 0
    for container in containers:
        strings = [*container, *container.values()] if type(container) is dict else container
        found += sum(item.count(":") for item in strings if type(item) is str)
    return found


def _decode_strictly(body: bytes, bounds: Bounds) -> Json:
    try:
        value = _DECODER.decode(body.decode())
    except UnicodeDecodeError as error:
        raise InvalidJson("The body is not valid UTF-8.") from error
    except RecursionError as error:
        raise InvalidJson(f"The body is nested deeper than {bounds.max_depth} levels.") from error
    except ValueError as error:
        raise InvalidJson(_explain(error)) from error
    # Both counts also see brackets and colons inside strings: too high, never too low. Only then is it worth looking.
    if body.count(b"{") + body.count(b"[") > bounds.max_depth or body.count(b":") > bounds.max_keys:
        _check_structure(value, bounds)
    if _LONE_SURROGATE_HINT.search(body):
        _check_surrogates(value)
    return value


def envelope(message: Json) -> Envelope:
    """Read one JSON-RPC message as MCP restricts it: an object, a string or integer id, params an object (MCP-03)."""
    if type(message) is not dict:
        raise InvalidRequest("The body must be one JSON-RPC message; arrays (batches) are not accepted.")
    if not MEMBERS.issuperset(message):
        # An unknown member might be `Method` or a look-alike to a parser that folds (CVE-2026-27896): none is accepted.
        raise InvalidRequest("The message has a member that JSON-RPC does not know.")
    if message.get("jsonrpc") != "2.0":
        raise InvalidRequest('The member "jsonrpc" must be "2.0".')
    params = message.get("params")
    if params is None:
        if "params" in message:
            raise InvalidRequest('"params" must be an object.')
        params = {}
    elif type(params) is not dict:
        raise InvalidRequest('"params" must be an object.')
    raw_id = raw_identifier(message["id"]) if "id" in message else None
    if "method" in message:
        method = message["method"]
        if type(method) is not str or not method:
            raise InvalidRequest('"method" must be a non-empty string.')
        if "result" in message or "error" in message:
            raise InvalidRequest("A request cannot carry a result or an error.")
        return Envelope(raw_id, method, params, message)
    if raw_id is None or "params" in message or ("result" in message) == ("error" in message):
        raise InvalidRequest("The message is neither a request, a notification nor a response.")
    return Envelope(raw_id, "", {}, message)


def raw_identifier(value: Json) -> bytes:
    """An id as raw JSON. Null and fractional ids are refused: MCP forbids the one, and the other is not portable."""
    if type(value) is int:
        return b"%d" % value
    if type(value) is str:
        return json.dumps(value).encode()
    raise InvalidRequest('"id" must be a string or an integer.')


def refuse_folded(members: Mapping[str, Json], known: frozenset[str]) -> None:
    """Refuse a member that equals a known one only after folding case or compatibility forms (VAL-02)."""
    for name in members:
        if name not in known and name.isprintable() and _fold(name) in known:
            raise InvalidRequest("The message has a member that differs from a known one only in case or letter form.")


def encode(value: Json) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def result(raw_id: bytes, value: Json) -> bytes:
    """A response with a result."""
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (raw_id, encode(value))


def error(raw_id: bytes | None, code: int, message: str, data: Json = None) -> bytes:
    """An error response; without an id when none is known (MCP allows that, JSON-RPC's null id it does not)."""
    body: dict[str, Json] = {"code": code, "message": message}
    if data is not None:
        body["data"] = data
    identity = b"" if raw_id is None else b'"id":%b,' % raw_id
    return b'{"jsonrpc":"2.0",%b"error":%b}' % (identity, encode(body))


def _object(pairs: Sequence[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member name stands twice in one object")
    return members


def _integer(text: str) -> int:
    if len(text) > MAX_NUMBER_CHARACTERS:
        raise ValueError("a number is too long")
    return int(text)


def _float(text: str) -> float:
    if len(text) > MAX_NUMBER_CHARACTERS:
        raise ValueError("a number is too long")
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number is out of range")
    return value


def _constant(text: str) -> Json:
    raise ValueError(f"{text} is not JSON")


_FAST: Final = msgspec.json.Decoder()
_ENCODER: Final = msgspec.json.Encoder()
_DIGITS: Final = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_NUMBER: Final = b"0" * MAX_NUMBER_CHARACTERS
"""After `_DIGITS`: a number that the strict reader may not like, or a string of digits."""
_SAFE_INTEGER: Final = 2**53
_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
)


def _explain(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"The body is not JSON: {error.msg} at character {error.pos}."
    return f"The body is not acceptable JSON: {error}."


def _check_structure(value: Json, bounds: Bounds) -> None:
    depth = keys = 0
    level: list[Json] = [value]
    while level := [item for item in level if type(item) is dict or type(item) is list]:
        depth += 1
        keys += sum(len(item) for item in level if type(item) is dict)
        if depth > bounds.max_depth:
            raise InvalidJson(f"The body is nested deeper than {bounds.max_depth} levels.")
        if keys > bounds.max_keys:
            raise InvalidJson(f"The body has more than {bounds.max_keys} members.")
        level = [inner for item in level for inner in (item.values() if type(item) is dict else item)]


def _check_surrogates(value: Json) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidJson("The body has a lone surrogate.") from error


def _fold(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()

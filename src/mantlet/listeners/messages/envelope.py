"""What a message says of itself, read just far enough to know which exchange it belongs to.

The path reads every message again, strictly (VAL-01). Nothing is decided here but whom an answer is for, so the fast
reader may be lenient: what two readers would read differently is refused on the path.
"""

from typing import Any, Final

import msgspec

from mantlet.core.refusal import Refusal
from mantlet.wire import jsonrpc
from mantlet.wire.mcp.inbound import PROTOCOL_VERSION
from mantlet.wire.mcp.methods import META_VERSION

Id = int | str

CANCELLED: Final = "notifications/cancelled"
INITIALIZE: Final = "initialize"
INITIALIZED: Final = "notifications/initialized"


class Head(msgspec.Struct, frozen=True):
    """`id` is None where there is none, `method` empty for a response."""

    id: Id | None = None
    method: str = ""

    @property
    def is_request(self) -> bool:
        """Whether somebody waits for an answer to it."""
        return bool(self.method) and self.id is not None


class _Cancelled(msgspec.Struct, rename="camel"):
    request_id: Id


class _Cancellation(msgspec.Struct):
    params: _Cancelled


class _Negotiated(msgspec.Struct, rename="camel"):
    protocol_version: str


class _Initialized(msgspec.Struct):
    result: _Negotiated


class _Meta(msgspec.Struct):
    version: Any = msgspec.field(default=None, name=META_VERSION)


class _Params(msgspec.Struct):
    meta: _Meta = msgspec.field(name="_meta")


class _Modern(msgspec.Struct):
    params: _Params


_MODERN: Final = msgspec.json.Decoder(_Modern)
_VERSION_HINT: Final = META_VERSION.encode()
_HEAD: Final = msgspec.json.Decoder(Head)
_CANCELLATION: Final = msgspec.json.Decoder(_Cancellation)
_INITIALIZED: Final = msgspec.json.Decoder(_Initialized)
_UNREADABLE: Final = Head()


def head_of(message: bytes) -> Head:
    """The head of `message`; without id and method when it is no message that has an answer."""
    try:
        return _HEAD.decode(message)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _rare(message)


def _rare(message: bytes) -> Head:
    # An id of more than 64 bits is an integer to JSON-RPC all the same.
    try:
        value = jsonrpc.decode(message)
    except Refusal:
        return _UNREADABLE
    if type(value) is not dict:
        return _UNREADABLE
    identity, method = value.get("id"), value.get("method")
    return Head(identity if type(identity) in (int, str) else None, method if type(method) is str else "")


def cancelled_id(message: bytes) -> Id | None:
    """Which request a `notifications/cancelled` is about; None when it does not say."""
    try:
        return _CANCELLATION.decode(message).params.request_id
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def negotiated_version(message: bytes) -> tuple[bytes, bytes] | None:
    """The header that a legacy client would send from now on, from the answer to its `initialize`."""
    try:
        return PROTOCOL_VERSION, _INITIALIZED.decode(message).result.protocol_version.encode("latin-1")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def is_modern(message: bytes) -> bool:
    """Whether its `_meta` says a version: the name elsewhere, in an argument for instance, says nothing."""
    if _VERSION_HINT not in message and b"\\" not in message:  # a name may be written with escapes
        return False
    try:
        return _MODERN.decode(message).params.meta.version is not None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False


def raw(identity: Any) -> bytes:
    """An id as raw JSON."""
    return jsonrpc.raw_identifier(identity)


def one_line(message: bytes) -> bytes:
    """`message`, a JSON text, without line ends: in JSON they stand between tokens only."""
    if b"\n" in message or b"\r" in message:
        return message.replace(b"\r", b" ").replace(b"\n", b" ")
    return message


def is_text(message: bytes) -> bool:
    """Whether it is UTF-8, as every frame and line must be."""
    if message.isascii():
        return True
    try:
        message.decode()
    except UnicodeDecodeError:
        return False
    return True

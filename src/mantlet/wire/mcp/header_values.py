"""Body values mirrored in HTTP headers: `Mcp-Name` and `Mcp-Param-*` (2026-07-28, "Value Encoding").

A value that would not survive a header stands as `=?base64?…?=`. What cannot be decoded equals nothing.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mantlet.core.headers import Headers
from mantlet.core.refusal import HeaderMismatch

PARAM_PREFIX: Final = "mcp-param-"
ANNOTATION: Final = "x-mcp-header"

_SENTINEL: Final = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)
_PLAIN: Final = re.compile(r"[\x20-\x7e]*")
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DECIMAL: Final = re.compile(r"-?[0-9]+(?:\.0+)?")

ParamPaths = Mapping[tuple[str, ...], tuple[bytes, str]]
"""Where an annotated argument stands, its header's name in lower case, and its JSON type."""


def encode_value(value: str) -> bytes:
    """A header value that carries `value` exactly."""
    if _PLAIN.fullmatch(value) and value == value.strip() and not _SENTINEL.fullmatch(value):
        return value.encode("ascii")
    return b"=?base64?%b?=" % base64.b64encode(value.encode())


def decode_value(raw: bytes) -> str | None:
    """What a header value says; None when it is encoded and not decodable, or not ASCII."""
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        return None
    if text[:1] != "=" or (match := _SENTINEL.fullmatch(text)) is None:
        return text
    payload = match.group(1)
    try:
        decoded = base64.b64decode(payload, validate=True)
        # The canonical form only: two encodings of one value must not both pass.
        if base64.b64encode(decoded).decode() != payload:
            return None
        return decoded.decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def annotated(schema: Any) -> ParamPaths:
    """The parameters of a tool that are mirrored in headers; none when any annotation breaks the rules.

    Reached through `properties` only, on string, integer or boolean, unique without regard to case. A client drops a
    tool whose annotations break these rules, so such a tool has no mirrored parameters.
    """
    found: dict[tuple[str, ...], tuple[bytes, str]] = {}
    pending: list[tuple[tuple[str, ...], Any]] = [((), schema)]
    while pending:
        path, node = pending.pop()
        if type(node) is not dict:
            continue
        if path and ANNOTATION in node:
            name, kind = node[ANNOTATION], node.get("type")
            if type(name) is not str or not _TOKEN.fullmatch(name) or kind not in ("string", "integer", "boolean"):
                return {}
            header = (PARAM_PREFIX + name.lower()).encode()
            if any(header == other for other, _ in found.values()):
                return {}
            found[path] = (header, kind)
        properties = node.get("properties")
        if type(properties) is dict:
            pending.extend(((*path, key), inner) for key, inner in properties.items())
    return found


def check_params(paths: ParamPaths, arguments: Mapping[str, Any], headers: Headers) -> None:
    """Raise `HeaderMismatch` unless each annotated argument and its header agree, or both are absent."""
    for path, (header, kind) in paths.items():
        values = headers.all(header)
        value = _at(path, arguments)
        if value is None and not values:
            continue
        if len(values) != 1 or value is None or not _agrees(kind, value, decode_value(values[0])):
            raise HeaderMismatch(f"The header {header.decode()} does not equal the argument {'.'.join(path)}.")


def param_fields(paths: ParamPaths, arguments: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """The header fields that say what the annotated arguments say; an argument that is absent has none.

    What is of no type that may be annotated has none either: the server will find fault with the argument itself.
    """
    fields: list[tuple[bytes, bytes]] = []
    for path, (header, kind) in paths.items():
        value = _at(path, arguments)
        if type(value) is bool:
            text = "true" if value else "false"
        elif type(value) is float and kind == "integer" and value.is_integer():
            text = str(int(value))
        elif type(value) in (str, int, float):
            text = str(value)
        else:
            continue
        fields.append((header, encode_value(text)))
    return fields


def _at(path: Sequence[str], arguments: Any) -> Any:
    node = arguments
    for key in path:
        if type(node) is not dict:
            return None
        node = node.get(key)
    return node


def _agrees(kind: str, value: Any, text: str | None) -> bool:
    if text is None:
        return False
    if type(value) is bool:
        return text == ("true" if value else "false")
    if kind == "integer" and (type(value) is int or (type(value) is float and value.is_integer())):
        # 42 and 42.0 are one number to the specification.
        return len(text) <= 128 and _DECIMAL.fullmatch(text) is not None and int(text.partition(".")[0]) == int(value)
    return type(value) in (str, int, float) and text == str(value)

"""The one text of a JSON value (RFC 8785, JSON Canonicalization Scheme): equal values, equal bytes, equal hashes.

One deviation, on the safe side: integers that no double holds keep their digits, where the standard would round two
different texts to one.
"""

import hashlib
import json
import math
from typing import Any, Final

_DOUBLE_EXACT: Final = 2**53
_encode: Final = json.JSONEncoder(ensure_ascii=False).encode


def canonical(value: Any) -> str:
    """The canonical text of a decoded JSON value. Depth is bounded by who decoded it. Raises `ValueError` for NaN."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return _encode(value)
        case int():
            return str(value) if abs(value) <= _DOUBLE_EXACT else _integer(value)
        case float():
            return _double(value)
        case dict():
            names = sorted(value, key=_utf16)
            return "{" + ",".join(f"{_encode(name)}:{canonical(value[name])}" for name in names) + "}"
        case list() | tuple():
            return "[" + ",".join(map(canonical, value)) + "]"
    raise ValueError(f"{type(value).__name__} is not JSON")


def digest(text: str) -> str:
    """The hash of a canonical text, as it stands in records and lock files."""
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-be", "surrogatepass")  # section 3.2.3: by code units, not by code points


def _integer(value: int) -> str:
    return _double(float(value)) if abs(value) < 10**21 and int(float(value)) == value else str(value)


def _double(value: float) -> str:
    """As ECMAScript writes a number (section 3.2.2.3): the shortest digits that read back the same, as Python's are."""
    if not math.isfinite(value):
        raise ValueError("NaN and infinity are not JSON")
    if value == 0:
        return "0"  # minus zero too
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or 0)
    digits = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        text = digits + "0" * (point - count)
    elif 0 < point <= 21:
        text = f"{digits[:point]}.{digits[point:]}"
    elif -6 < point <= 0:
        text = "0." + "0" * -point + digits
    else:
        power = point - 1
        tail = f".{digits[1:]}" if count > 1 else ""
        text = f"{digits[0]}{tail}e{'+' if power > 0 else '-'}{abs(power)}"
    return sign + text

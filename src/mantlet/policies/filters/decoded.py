"""What a text says once its encodings are taken off, down to a fixed point (VAL-05, VAL-06).

Percent signs (twice, thrice, `%u003c`, overlong UTF-8), HTML references, `\\x3c` and `\\u003c`, full-width letters.
Every round makes the text shorter, or ends it; whoever nests deeper than `MAX_ROUNDS` has nothing honest in mind.
"""

import html
import re
import unicodedata
from typing import Final

from mantlet.policies.filters.rules import Matcher

MAX_ROUNDS: Final = 6
MAX_ENCODED: Final = 20_000
"""Marks of encodings in one text, at 0.5 us each: what has more is refused where it would be looked into (VAL-07)."""
_DISGUISES: Final = r"[\u2024-\u2026\u2044\u2215\u2216\u29f5\u29f8\ufe50-\ufe6b\uff01-\uff5e]"
"""Full-width and small forms of marks and letters, and signs that look like slashes and dots."""
_is_disguised: Final = Matcher(_DISGUISES).is_in
is_encoded: Final = Matcher(rf"%[0-9a-fA-Fu]|&[#a-zA-Z]|\\[xuU0-7]|{_DISGUISES}").is_in
"""Whether there is anything to take off a text."""
_LOOK_ALIKES: Final = str.maketrans({"\u2044": "/", "\u2215": "/", "\u29f8": "/", "\u2216": "\\", "\u29f5": "\\"})
_PERCENT: Final = re.compile(r"%u([0-9a-fA-F]{4})|((?:%[0-9a-fA-F]{2})+)")
_ESCAPE: Final = re.compile(
    r"\\u\{?([0-9a-fA-F]{4,6})\}?|\\U([0-9a-fA-F]{8})|\\x\{?([0-9a-fA-F]{2,4})\}?|\\([0-3]?[0-7]{1,2})"
)
_REFERENCE: Final = re.compile(r"&(?:#[0-9]{1,8};?|#[xX][0-9a-fA-F]{1,7};?|[a-zA-Z]{2,31};)")


class Undecodable(Exception):
    """Encoded deeper, or more, than anybody needs."""


def decoded(text: str) -> str:
    """`text` with its encodings taken off; the same object where it has none. Raises `Undecodable`."""
    if not is_encoded(text):
        return text
    if text.count("%") + text.count("&") + text.count("\\") > MAX_ENCODED:
        raise Undecodable
    for _ in range(MAX_ROUNDS):
        plain = _once(text)
        if plain == text:
            return text
        text = plain
    raise Undecodable


def _once(text: str) -> str:
    if "%" in text:
        text = _PERCENT.sub(_percent, text)
    if "&" in text:
        text = _REFERENCE.sub(lambda found: html.unescape(found[0]), text)
    if "\\" in text:
        text = _ESCAPE.sub(_escape, text)
    if not text.isascii() and _is_disguised(text):
        text = unicodedata.normalize("NFKC", text).translate(_LOOK_ALIKES)
    return text


def _percent(found: re.Match[str]) -> str:
    if found[1]:
        return _char(int(found[1], 16))
    raw = bytes.fromhex(found[2].replace("%", ""))
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return _overlong(raw)


_LEADS: Final = ((6, 0xFC), (5, 0xF8), (4, 0xF0), (3, 0xE0), (2, 0xC0))
"""Bytes of a character by its first one; five and six are long forbidden, and still read by some."""


def _overlong(raw: bytes) -> str:
    """As the laxest reader takes it: `C0 AE` is a dot, and so is `C0 2E` (RFC 3629 section 3 forbids both)."""
    said: list[str] = []
    at = 0
    while at < len(raw):
        lead = raw[at]
        size = next((size for size, least in _LEADS if lead >= least), 1)
        tail = raw[at + 1 : at + size]
        if lead in (0xC0, 0xC1) and tail and tail[0] & 0xC0 != 0x80:
            said.append(chr(tail[0] if tail[0] < 0x80 else tail[0] & 0x3F))
            at += 2
        elif size == 1 or len(tail) < size - 1 or any(byte & 0xC0 != 0x80 for byte in tail):
            said.append(chr(lead))
            at += 1
        else:
            code = lead & (0x7F >> size)
            for byte in tail:
                code = code << 6 | byte & 0x3F
            said.append(_char(code))
            at += size
    return "".join(said)


def _escape(found: re.Match[str]) -> str:
    digits = found[1] or found[2] or found[3]
    return _char(int(digits, 16) if digits else int(found[4], 8))


def _char(code: int) -> str:
    return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"

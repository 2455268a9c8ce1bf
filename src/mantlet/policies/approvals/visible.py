"""Text as it is shown to whoever decides on it: what would not be seen, or would move what is, stands as a code."""

import unicodedata
from typing import Final

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks that draw nothing."""
_WORDS: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}


def visible(text: str) -> str:
    """`text` with every character that hides, escaped; a backslash is doubled, so that no text poses as an escape."""
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character in _WORDS:
        return _WORDS[character]
    if " " <= character <= "~":
        return character
    category = unicodedata.category(character)
    hides = category in _HIDDEN or category == "Zs" or character in _BLANK or _is_selector(character)
    return f"\\u{{{ord(character):X}}}" if hides else character


def _is_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"

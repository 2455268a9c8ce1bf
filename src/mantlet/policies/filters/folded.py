"""Letters in disguise: full-width, mathematical, circled ones as the plain ones they look like."""

import unicodedata
from typing import Final

from mantlet.policies.filters.rules import Matcher

_IS_DISGUISED: Final = Matcher("[\uff21-\uff3a\uff41-\uff5a\u24b6-\u24e9\U0001d400-\U0001d6a3\u2100-\u214f]").is_in


def folded(text: str) -> str:
    """`text` in compatibility forms, character for character, so that places stay true."""
    if text.isascii() or not _IS_DISGUISED(text):
        return text
    plain: dict[str, str | int | None] = {
        char: form for char in set(text) if len(form := unicodedata.normalize("NFKC", char)) == 1 and form != char
    }
    return text.translate(str.maketrans(plain))

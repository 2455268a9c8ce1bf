"""What is not shown: values whose type or key says that they are secret, and passwords inside URLs."""

import re
from typing import Any, Final

from mantlet.core.secret import Secret
from mantlet.node.config.problem import Path

MASK: Final = "********"

_SECRET_WORDS: Final = re.compile(
    r"(?:^|_)(?:api_key|key|keys|secret|secrets|password|passwd|token|tokens|credential|credentials|authorization)$"
)
_NOT_SECRET: Final = frozenset({"max_keys", "public_key", "tokens_per_minute"})
_FREE_VALUES: Final = frozenset({"env", "headers"})
"""Mappings of the user's own names: what a server's environment or headers hold is nearly always a credential."""
_USERINFO: Final = re.compile(r"(?<=://)([^/@\s]*:)?[^/@\s:]+(?=@)")
"""Of `user:password@` and of `token@` alone; the user's name may stay."""


def is_secret_key(path: Path) -> bool:
    """Whether the key's name says that its value is secret. `*_file` names a file, which is none."""
    words = [part.lower().replace("-", "_") for part in path if isinstance(part, str)]
    if not words:
        return False
    if "validation" in words:
        return False  # `filters.secrets` says what is done with them
    if any(word in _FREE_VALUES for word in words) or words[:-1][-2:] == ["mock", "tokens"]:
        return True
    return words[-1] not in _NOT_SECRET and bool(_SECRET_WORDS.search(words[-1]))


def masked(value: Any, path: Path = ()) -> Any:
    """`value` as it may be shown."""
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, str):
        return MASK if value and is_secret_key(path) else mask_url(value)
    return value


def mask_url(text: str) -> str:
    """A text with the password of any URL in it masked."""
    return _USERINFO.sub(lambda found: f"{found[1] or ''}{MASK}", text) if "://" in text else text

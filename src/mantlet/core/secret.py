"""A secret that masks itself: leaking it takes a deliberate `reveal` (AUD-06)."""

import hmac
from typing import Final

MASK: Final = "***"


class Secret:
    """Text that shows only as a mask, in `repr`, `str`, format strings and tracebacks alike.

    For msgspec: `dec_hook=lambda kind, value: Secret(value)` reads it, `enc_hook=str` writes the mask.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if type(value) is not str:
            raise TypeError("a secret is text")  # says nothing of the value itself
        self._value = value

    def reveal(self) -> str:
        """The secret itself, for the one place that uses it."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

"""What is known of tokens that no longer count although they have not expired (TOK-10)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

LIFE_S: Final = 90_000.0
"""How long one is remembered: longer than any token that is accepted may live (a day and the leeway)."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """One of them. `until_s` is when it may be forgotten.

    `token`: `value` is a token's `jti`, or what stands before the first `.` in it: the login or key it came from.
    `subject`: `value` is a subject, and every token of (`tenant`, `issuer`, `value`) issued until `at_s` is meant.
    """

    id: str
    kind: Literal["token", "subject"]
    tenant: str
    issuer: str
    value: str
    at_s: float
    until_s: float


class RevocationStore(Protocol):
    """Where they are durable, for all processes that share the database. Each method raises `StoreUnavailable`."""

    async def add(self, revocations: Sequence[Revocation], now_s: float, /) -> None:
        """Keep those that are not known by their `id`."""
        ...

    async def since(self, number: int, /) -> tuple[int, list[Revocation]]:
        """Those kept after `number`, and the number of the last; 0 begins."""
        ...

"""A login that lasts: the family of refresh tokens that come from one consent (RFC 9700 section 4.14.2, TOK-13).

A refresh token is `mr_<family>_<number>_<mac>`: the mac is over family and number, with a key that never leaves the
node, so nothing of it is stored, and a spent one is told from an invented one without a list of the spent. Only the
newest number of a family refreshes. An older one was copied, and nobody can tell who holds the copy: the family ends.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from mantlet.policies.authorization_server.grant import Grant

PREFIX: Final = "mr_"
_DOMAIN: Final = b"mantlet/refresh-token/v1\x00"
_SHAPE: Final = re.compile(r"mr_([0-9A-Za-z]{22})_([1-9][0-9]{0,8})_([0-9A-Za-z_-]{43})")


@dataclass(frozen=True, slots=True)
class Login:
    """One family. Times are Unix seconds; `ended_at_s` is 0 while it goes on."""

    id: str
    grant: Grant
    number: int
    created_at_s: float
    used_at_s: float
    expires_at_s: float
    ended_at_s: float = 0.0


Step = Literal["next", "spent", "over"]


class Logins(Protocol):
    """Where they are kept. Durable, and atomic also across processes; each raises `StoreUnavailable`."""

    async def create(self, login: Login, max_logins: int, /) -> Sequence[str]:
        """Keep a new one; gives the families of the same user that ended to make room."""
        ...

    async def find(self, family: str, /) -> Login | None:
        """One of them, ended or not."""
        ...

    async def advance(self, family: str, number: int, /, *, now_s: float, idle_s: float) -> Step:
        """Spend `number`, once: of any that come at the same time one gets `next`.

        `spent`: it was already, and the family has ended with this. `over`: there is no such family any more.
        """
        ...

    async def end(
        self, *, now_s: float, family: str = "", via: str = "", client_id: str = "", tenant: str = "", subject: str = ""
    ) -> Sequence[str]:
        """End those that all the given words fit, and none when none is given; gives the families that ended."""
        ...


def step(login: Login | None, number: int, *, now_s: float, idle_s: float) -> Step:
    """What presenting `number` means."""
    if login is None or login.ended_at_s or now_s >= login.expires_at_s or number > login.number:
        return "over"
    if number < login.number:
        return "spent"
    return "next" if now_s < login.used_at_s + idle_s else "over"


def refresh_token(family: str, number: int, key: bytes) -> str:
    """The one token of a family that has `number`."""
    return f"{PREFIX}{family}_{number}_{_mac(family, number, key)}"


def read_refresh_token(token: str, key: bytes) -> tuple[str, int] | None:
    """Its family and number; None for one that this node did not make."""
    match = _SHAPE.fullmatch(token)
    if match is None:
        return None
    family, number = match[1], int(match[2])
    return (family, number) if hmac.compare_digest(_mac(family, number, key), match[3]) else None


def _mac(family: str, number: int, key: bytes) -> str:
    digest = hmac.digest(key, _DOMAIN + f"{family}/{number}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

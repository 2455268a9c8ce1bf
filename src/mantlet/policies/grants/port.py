"""What the step and the pages need of a caller's grants at one upstream."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from mantlet.core.caller import Caller

PrincipalKey = tuple[str, str, str]
"""`Caller.key`: tenant, issuer, subject."""


class Held(Protocol):
    """Whether there is a grant."""

    async def token(self, caller: Caller, /) -> str:
        """A current access token. Raises `ConsentRequired` when there is none."""
        ...


class Flow(Protocol):
    """How one comes about."""

    @property
    def upstream(self) -> str:
        """Its name."""
        ...

    @property
    def issuer(self) -> str:
        """Who is asked."""
        ...

    @property
    def host(self) -> str:
        """Where the upstream is."""
        ...

    @property
    def scope(self) -> Sequence[str]:
        """What is asked for."""
        ...

    async def begin(self, state: str, /) -> tuple[str, str]:
        """Where the browser goes, and the PKCE verifier."""
        ...

    async def is_own(self, iss: str | None, /) -> bool:
        """Whether an answer that names `iss` can be this server's (RFC 9207)."""
        ...

    async def redeem(self, code: str, verifier: str, /) -> Any:
        """The tokens for a code; or text, the server's word for none."""
        ...

    async def keep(self, caller_key: PrincipalKey, tokens: Any, /) -> None:
        """From now on these tokens are the caller's."""
        ...


Record = Callable[[str, str, PrincipalKey], Awaitable[None]]
"""Writes down that a principal did something about an upstream; raises `AuditUnavailable`, and then it is not done."""

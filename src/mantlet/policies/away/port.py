"""An authorization code flow as its pages need it, and who is at the browser."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from mantlet.core.call import Arrival
from mantlet.core.caller import Caller

Recognise = Callable[[Arrival, bytes], Awaitable[Caller]]
"""`Authenticate.recognise`: failures count against the address and the key (AUTHN-07)."""


class Flow(Protocol):
    """At one authorization server, with a redirect URI of its own. `begin`, `is_own` and `redeem` raise refusals where
    the server cannot be asked."""

    @property
    def name(self) -> str:
        """What its redirect URI ends with."""
        ...

    @property
    def issuer(self) -> str:
        """Who is asked."""
        ...

    async def begin(self, state: str, /) -> tuple[str, str]:
        """Where the browser goes, and the PKCE verifier."""
        ...

    async def is_own(self, iss: str | None, /) -> bool:
        """Whether an answer that names `iss` (None: nobody) can be this server's (RFC 9207 section 2.4)."""
        ...

    async def redeem(self, code: str, verifier: str, /) -> Any:
        """The tokens for a code; or text, the server's word for none."""
        ...

"""Named test tokens, for development only (spec 4.6)."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from mantlet.core.call import Arrival
from mantlet.core.caller import Caller
from mantlet.core.config_error import ConfigError
from mantlet.policies.authenticate.config import MockToken

ISSUER: Final = "mantlet:mock"
METHOD: Final = "mock"


class MockProvider:
    """Takes a token for what the config says it is. Cannot be made outside development."""

    is_costly = False
    fresh_s = 1.0
    leeway_s = 0.0

    def __init__(self, tokens: Mapping[str, MockToken], *, development: bool) -> None:
        if not development:
            raise ConfigError("auth.mock.tokens", "test tokens work in development only", "remove them")
        self._callers = {_digest(token.encode()): _caller_of(mock) for token, mock in tokens.items()}

    async def recognise(self, arrival: Arrival, credential: bytes, /) -> Caller | None:
        """The named caller, or None."""
        return self._callers.get(_digest(credential))

    def is_current(self, caller: Caller, /) -> bool | None:
        """Always, for its own."""
        return True if caller.method == METHOD else None


def _digest(token: bytes) -> bytes:
    return sha256(token).digest()


def _caller_of(mock: MockToken) -> Caller:
    return Caller(
        mock.subject,
        ISSUER,
        METHOD,
        mock.tenant,
        mock.kind,
        frozenset(mock.roles),
        frozenset(mock.scopes),
        credential_id=f"mock:{mock.subject}",
    )

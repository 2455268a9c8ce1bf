"""What the step and the pages need of a caller's grants at one upstream."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from mantlet.core.caller import Caller
from mantlet.policies.away.port import Flow

PrincipalKey = tuple[str, str, str]
"""`Caller.key`: tenant, issuer, subject."""


class Held(Protocol):
    """Whether there is a grant."""

    async def token(self, caller: Caller, /) -> str:
        """A current access token. Raises `ConsentRequired` when there is none."""
        ...


class GrantFlow(Flow, Protocol):
    """How one comes about; `name` is the upstream's."""

    @property
    def host(self) -> str:
        """Where the upstream is."""
        ...

    @property
    def scope(self) -> Sequence[str]:
        """What is asked for."""
        ...

    async def keep(self, caller_key: PrincipalKey, tokens: Any, /) -> None:
        """From now on these tokens are the caller's."""
        ...


Record = Callable[[str, str, PrincipalKey], Awaitable[None]]
"""Writes down that a principal did something about an upstream; raises `AuditUnavailable`, and then it is not done."""

"""What the policy knows of an identity provider."""

from typing import Protocol

from mantlet.core.call import Arrival
from mantlet.core.caller import Caller


class Provider(Protocol):
    """Recognition has three answers: a caller; None (not of my kind); or a raised `InvalidCredential`."""

    @property
    def fresh_s(self) -> float:
        """How long an answer may be remembered: the bound on how late a revocation acts."""
        ...

    @property
    def leeway_s(self) -> float:
        """How long after its expiry a credential is still taken, for clocks that differ."""
        ...

    @property
    def is_costly(self) -> bool:
        """Whether looking at a credential takes work worth protecting from floods (a signature, a request)."""
        ...

    async def recognise(self, arrival: Arrival, credential: bytes, /) -> Caller | None:
        """Tell who holds `credential` (the token itself, no scheme). Never logs it."""
        ...

    def is_current(self, caller: Caller, /) -> bool | None:
        """Whether a caller recognised earlier would be now; None for a caller of another provider."""
        ...

"""Who a call is for."""

from dataclasses import dataclass, field
from typing import Literal

CallerKind = Literal["user", "agent", "service"]


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated principal. It is (tenant, issuer, subject); nothing else identifies it (AUTHN-09).

    There is no anonymous caller: a public route carries `None` instead (AUTHN-02).
    `expires_at_s` is Unix time, `None` when the credential does not expire.
    `credential_id` names the credential (key id, `jti`) without revealing it.
    """

    subject: str
    issuer: str
    method: str
    tenant: str = "default"
    kind: CallerKind = "user"
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    expires_at_s: float | None = None
    credential_id: str = ""
    key: tuple[str, str, str] = field(init=False, compare=False)
    """The principal as one value, for limits, sessions and caches. A tuple, so that no separator can be forged."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", (self.tenant, self.issuer, self.subject))

    @property
    def name(self) -> str:
        """For people and records, never for decisions."""
        return f"{self.tenant}/{self.issuer}/{self.subject}"

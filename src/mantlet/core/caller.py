"""Who a call is for."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

CallerKind = Literal["user", "agent", "service"]


class Rights(NamedTuple):
    """The part of a caller that rules look at: equal rights get equal decisions, so it keys what is remembered of them.

    A tuple, because it is hashed on every call: a frozen dataclass costs three times that.
    """

    roles: frozenset[str]
    scopes: frozenset[str]
    tenant: str
    subject: str
    kind: CallerKind
    act: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Binding:
    """What a request must show beside a token for the token to count: each field that is not empty (TOK-11).

    `certificate_sha256` is that of the client's certificate, in lower-case hexadecimal (`x5t#S256`, RFC 8705 section
    3.1); `jkt` the thumbprint of the key of its DPoP proof (RFC 9449 section 6.1); `paths` and `doors` where alone it
    is taken.
    """

    certificate_sha256: str = ""
    jkt: str = ""
    paths: tuple[str, ...] = ()
    doors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated principal. It is (tenant, issuer, subject); nothing else identifies it (AUTHN-09).

    There is no anonymous caller: a public route carries `None` instead (AUTHN-02).
    `expires_at_s` is Unix time, `None` when the credential does not expire.
    `credential_id` names the credential (key id, `jti`) without revealing it.
    `act` is who acts in its place, as the credential says: the one that called first, whom that one acted for after
    it (RFC 8693 section 4.1). Empty when the caller acts itself. Only verified credentials ever set it (AUTHZ-10).
    `binding` is asked of each request that brings the credential, by `authenticate`; None for a mere bearer's.
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
    act: tuple[str, ...] = ()
    binding: Binding | None = field(default=None, compare=False, repr=False)
    issued_at_s: float = field(default=0.0, compare=False, repr=False)
    """When a token was issued, Unix time; 0 where its issuer does not say: then it is as old as any."""
    vouched_by: str = field(default="", compare=False, repr=False)
    """A digest of what the credential was verified with and held to. After a reload it tells whether the same
    credential would still be taken (AUTHN-06); empty where its provider has nothing of the kind."""
    key: tuple[str, str, str] = field(init=False, compare=False)
    """The principal as one value, for limits, sessions and caches. A tuple, so that no separator can be forged."""
    rights: Rights = field(init=False, compare=False, repr=False)
    """What rules see of it."""
    name: str = field(init=False, compare=False, repr=False)
    """For people and records, never for decisions."""

    def __post_init__(self) -> None:
        # A caller is made once a credential and asked on every call.
        object.__setattr__(self, "key", (self.tenant, self.issuer, self.subject))
        rights = Rights(self.roles, self.scopes, self.tenant, self.subject, self.kind, self.act)
        object.__setattr__(self, "rights", rights)
        object.__setattr__(self, "name", f"{self.tenant}/{self.issuer}/{self.subject}")

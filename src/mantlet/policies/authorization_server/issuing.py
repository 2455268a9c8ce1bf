"""Access tokens and logins: what is given, refreshed and taken back. The endpoints in front differ in how they ask."""

import hashlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.record import Trail
from mantlet.core.refusal import GrantRefused
from mantlet.policies.authorization_server.config import ServerConfig
from mantlet.policies.authorization_server.grant import Grant, narrowed, scopes_of
from mantlet.policies.authorization_server.login import Login, Logins, read_refresh_token, refresh_token


@dataclass(frozen=True, slots=True)
class Signed:
    """A new access token."""

    token: str
    expires_at_s: int


class Sign(Protocol):
    """Makes access tokens (`keys.tokens.issue` with the node's key and issuer)."""

    def __call__(self, grant: Grant, /, *, scopes: Collection[str], origin: str, life_s: int) -> Signed:
        """A token for `grant.audience`, whose `jti` begins with `origin`."""
        ...


class Revoke(Protocol):
    """`authenticate.revoked.Revoked`: what takes effect everywhere within seconds (TOK-10)."""

    async def revoke_tokens(self, issuer: str, values: Sequence[str], /) -> None:
        """Revoke tokens by `jti`, or all that came from a login or key. Raises `StoreUnavailable`."""
        ...


Unread = Callable[[bytes], Mapping[str, Any] | None]
"""The claims of an access token that this node signed, expired or not; None for any other text."""


class Issuing:
    """`key` makes refresh tokens; `holds` tells whether the credential behind a login still does."""

    def __init__(
        self,
        config: ServerConfig,
        *,
        issuer: str,
        audience: str,
        parts: Collection[str],
        sign: Sign,
        read: Unread,
        logins: Logins,
        revoked: Revoke,
        holds: Callable[[Caller], Awaitable[bool]],
        key: bytes,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._config = config
        self.issuer, self._audience, self._parts = issuer, audience, frozenset(parts)
        self._sign, self._read, self._logins, self._revoked = sign, read, logins, revoked
        self._holds, self._key, self._wall, self.new_id = holds, key, clock.wall, new_id

    def audience_of(self, resource: str | None) -> str:
        """For whom a token shall be (RFC 8707): this node as a whole, or one resource of it."""
        if resource is None or resource == self._audience:
            return self._audience
        if resource in self._parts:
            return resource
        raise GrantRefused("invalid_target", "resource is none of this node's.")

    def access(self, grant: Grant, scopes: Collection[str], origin: str) -> dict[str, Any]:
        """An access token and no more."""
        signed = self._sign(grant, scopes=scopes, origin=origin, life_s=self._config.access_token_life)
        told = {
            "access_token": signed.token,
            "token_type": "Bearer",
            "expires_in": max(0, signed.expires_at_s - int(self._wall())),
        }
        return told | ({"scope": " ".join(sorted(scopes))} if scopes else {})

    async def log_in(self, grant: Grant, trail: Trail, family: str = "") -> dict[str, Any]:
        """A login that begins now: its first access and refresh token."""
        now_s = self._wall()
        life_s = min(self._config.refresh_token_life, grant.life_s or self._config.refresh_token_life)
        login = Login(family or self.new_id(), grant, 1, now_s, now_s, now_s + life_s)
        over = await self._logins.create(login, self._config.max_logins)
        await self._dead(over)
        trail.notes["login"] = login.id
        return self._told(login, grant.scopes, 1)

    async def refresh(
        self, client_id: str, token: str, scope: str | None, resource: str | None, trail: Trail
    ) -> dict[str, Any]:
        """The next tokens of a login. A token that was spent before ends it (TOK-13)."""
        read = read_refresh_token(token, self._key)
        if read is None:
            raise GrantRefused("invalid_grant", why="not a refresh token of this node")
        family, number = read
        login = await self._logins.find(family)
        # Of another client: said before anything is spent, or whoever found a token could only end its login.
        if login is None or login.grant.client_id != client_id:
            raise GrantRefused("invalid_grant", why="no such login of this client")
        trail.notes["login"] = family
        grant = login.grant
        scopes = narrowed(scopes_of(scope), grant.scopes)
        if resource is not None and self.audience_of(resource) != grant.audience:
            if grant.audience != self._audience:
                raise GrantRefused("invalid_target", "resource was not granted.")
            grant = _for(grant, resource)
        if grant.via and not await self._holds(_behind(grant)):
            await self.end(family=family)
            raise GrantRefused("invalid_grant", why="the credential behind the login no longer holds")
        now_s = self._wall()
        step = await self._logins.advance(family, number, now_s=now_s, idle_s=self._config.refresh_token_idle)
        if step == "spent":
            trail.notes["reuse"] = "login ended"
            await self._dead([family])
            raise GrantRefused("invalid_grant", why=f"refresh token spent before: login {family} is ended")
        if step == "over":
            raise GrantRefused("invalid_grant", why="the login is over")
        trail.principal, trail.tenant = f"{grant.tenant}/{self.issuer}/{grant.subject}", grant.tenant
        return self._told(login, scopes, number + 1, grant)

    async def revoke(self, client_id: str, token: str, trail: Trail) -> None:
        """RFC 7009: a refresh token with all that came from it, or one access token. Anything else is no error."""
        if (read := read_refresh_token(token, self._key)) is not None:
            login = await self._logins.find(read[0])
            if login is not None and login.grant.client_id == client_id:
                trail.notes["login"] = login.id
                await self.end(family=login.id)
            return
        claims = self._read(token.encode())
        if claims is not None and claims.get("client_id") == client_id and isinstance(claims.get("jti"), str):
            await self._revoked.revoke_tokens(self.issuer, [claims["jti"]])

    async def end(
        self, *, family: str = "", via: str = "", client_id: str = "", tenant: str = "", subject: str = ""
    ) -> int:
        """End the logins that all given words fit, and their access tokens; how many there were."""
        over = await self._logins.end(
            now_s=self._wall(), family=family, via=via, client_id=client_id, tenant=tenant, subject=subject
        )
        await self._dead(over)
        return len(over)

    async def kill(self, family: str) -> None:
        """End a login that may be about to begin: whatever comes of it is refused all the same."""
        await self.end(family=family)
        await self._dead([family])

    async def _dead(self, families: Sequence[str]) -> None:
        if families:
            await self._revoked.revoke_tokens(self.issuer, families)

    def _told(self, login: Login, scopes: Collection[str], number: int, grant: Grant | None = None) -> dict[str, Any]:
        told = self.access(grant or login.grant, scopes, login.id)
        return told | {"refresh_token": refresh_token(login.id, number, self._key)}


def _behind(grant: Grant) -> Caller:
    """Who consented, as the credential they showed says."""
    return Caller(
        grant.subject,
        grant.via_issuer,
        grant.via_method,
        grant.tenant,
        grant.kind,
        frozenset(grant.roles),  # what was given must still be theirs to give
        frozenset(grant.scopes),
        credential_id=grant.via,
        vouched_by=grant.via_vouched_by,
    )


def _for(grant: Grant, audience: str) -> Grant:
    return Grant(**{**{name: getattr(grant, name) for name in grant.__struct_fields__}, "audience": audience})


def digest(secret: str) -> str:
    """The name under which what belongs to a secret is kept."""
    return hashlib.sha256(secret.encode()).hexdigest()

"""`exchange` at the caller's own issuer: its token goes back to whoever issued it, and to nobody else (RFC 8693)."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.headers import Headers
from mantlet.core.ports import Fetch, Fetched
from mantlet.core.refusal import (
    BadUpstream,
    DeadlineExceeded,
    Denied,
    InvalidCredential,
    IssuerUnavailable,
    UpstreamUnavailable,
)
from mantlet.core.secret import Secret
from mantlet.upstreams.identity import grant
from mantlet.upstreams.identity.fields import AUTHORIZATION, About, bearer
from mantlet.upstreams.identity.once import Once
from mantlet.upstreams.identity.port import Field, Outgoing
from mantlet.wire.forwarded import MAX_LIFE_S, token_hash

MAX_HELD: Final = 4_096
KEPT_SHARE: Final = 0.5
"""As in `exchanged`."""
TIMEOUT_S: Final = 10.0
_BEARER: Final = b"bearer "
_FORM: Final = (b"content-type", b"application/x-www-form-urlencoded")
_JSON: Final = (b"accept", b"application/json")


@dataclass(frozen=True, slots=True)
class Client:
    """This node at one issuer. `token_endpoint` empty: as the issuer's metadata says."""

    issuer: str
    client_id: str
    client_secret: Secret
    token_endpoint: str = ""


class AtIssuer:
    """`Identity`. For one upstream; callers who come at once with one token share one question."""

    def __init__(
        self,
        client: Client,
        audience: str,
        scopes: frozenset[str],
        about: About,
        fetch: Fetch,
        clock: Clock,
        max_life_s: float = MAX_LIFE_S,
    ) -> None:
        self._client, self._audience, self._scopes = client, audience, scopes
        self._about, self._fetch, self._clock, self._max_life_s = about, fetch, clock, max_life_s
        self._endpoint = client.token_endpoint
        self._held: OrderedDict[str, grant.Granted] = OrderedDict()
        self._once: Once[grant.Granted] = Once()

    async def __call__(self, caller: Caller, headers: Headers, _request: Outgoing, /) -> Sequence[Field]:
        """The fields for any request of this caller. Raises `Denied` for a caller of another issuer."""
        if caller.issuer != self._client.issuer:
            raise Denied("This server takes callers of another issuer.", why="identity: a caller of another issuer")
        shown = headers.get(AUTHORIZATION) or b""
        if shown[:7].lower() != _BEARER or (caller.binding is not None and caller.binding.jkt):
            raise Denied("The caller's token cannot be exchanged.", why="identity: no bearer token came with the call")
        token = shown[7:].strip()
        key = token_hash(token)
        granted = self._held.get(key)
        if granted is None or self._clock.wall() >= granted.ends_s:
            granted = await self._once.do(key, lambda: self._ask(key, caller, token))
        return (bearer(granted.token), *self._about.of(caller))

    async def close(self) -> None:
        """Ask nothing more."""
        await self._once.close()

    async def _ask(self, key: str, caller: Caller, token: bytes) -> grant.Granted:
        scopes = caller.scopes & self._scopes
        if self._scopes and not scopes:
            raise Denied(
                "The caller has none of the scopes that this server needs.", why="identity: no scope to ask for"
            )
        endpoint = self._endpoint or await self._discover()
        secret = grant.basic(self._client.client_id, self._client.client_secret.reveal())
        answer = await self._told(
            "POST",
            endpoint,
            headers=[_FORM, _JSON, (AUTHORIZATION, secret)],
            body=grant.form(token.decode("latin-1"), self._audience, scopes),
            timeout_s=TIMEOUT_S,
            max_bytes=grant.MAX_BYTES,
        )
        now_s = self._clock.wall()
        rest_s = self._max_life_s if caller.expires_at_s is None else caller.expires_at_s - now_s
        if rest_s <= 0:
            raise InvalidCredential("identity: the caller's credential is over")
        granted = grant.read(
            answer.status,
            answer.body,
            audience=self._audience,
            asked=scopes,
            has=caller.scopes,
            now_s=now_s,
            max_s=min(self._max_life_s, rest_s),
        )
        life_s = granted.ends_s - now_s
        self._held[key] = grant.Granted(granted.token, now_s + life_s * KEPT_SHARE)
        self._held.move_to_end(key)
        if len(self._held) > MAX_HELD:
            self._held.popitem(last=False)
        return granted

    async def _told(self, method: str, url: str, **request: Any) -> Fetched:
        """The issuer's answer. That it gives none is not the upstream's failure, and must not count as one (RES-01)."""
        try:
            return await self._fetch(method, url, **request)
        except (UpstreamUnavailable, DeadlineExceeded) as error:
            raise IssuerUnavailable(why=f"identity: {error.why}") from error
        except BadUpstream as error:
            raise BadUpstream(why=f"identity: {error.why}") from error

    async def _discover(self) -> str:
        """RFC 8414 first, then OpenID Connect; see `grant.read_endpoint` for what is believed."""
        parts = urlsplit(self._client.issuer)
        root, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
        for url in (
            f"{root}/.well-known/oauth-authorization-server{path}",
            f"{root}{path}/.well-known/openid-configuration",
        ):
            answer = await self._told("GET", url, headers=[_JSON], timeout_s=TIMEOUT_S, max_bytes=grant.MAX_BYTES)
            if answer.status == 200:
                self._endpoint = grant.read_endpoint(answer.body, self._client.issuer)
                return self._endpoint
        raise BadUpstream(why="identity: the issuer publishes no metadata")

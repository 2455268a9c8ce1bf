"""One authorization server as this node talks to it: its metadata, and requests of its token endpoint."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import quote_plus, urlencode, urlsplit

from mantlet.core.clock import Clock
from mantlet.core.ports import Fetch, Fetched
from mantlet.core.refusal import BadUpstream, DeadlineExceeded, IssuerUnavailable, Refusal, UpstreamUnavailable
from mantlet.core.secret import Secret
from mantlet.upstreams.oauth.answer import MAX_BYTES, Refused, Tokens, read_tokens
from mantlet.upstreams.oauth.metadata import MAX_BYTES as MAX_METADATA_BYTES
from mantlet.upstreams.oauth.metadata import Endpoints, read_endpoints, well_known

KEPT_S: Final = 600.0
"""How long metadata is used; a server that moves an endpoint is followed after that."""
TIMEOUT_S: Final = 10.0
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FORM: Final = (b"content-type", b"application/x-www-form-urlencoded")
_JSON: Final = (b"accept", b"application/json")

Assert = Callable[[], str]
"""A new assertion of who this client is: signed, for this server alone, good once (RFC 7523; OAUTH-08)."""


@dataclass(frozen=True, slots=True)
class Registration:
    """This node as one server knows it. Without secret and assertion it is a public client, held by PKCE alone."""

    issuer: str
    client_id: str
    secret: Secret | None = None
    manner: Literal["basic", "post"] = "basic"
    """Where the secret stands."""
    assertion: Assert | None = field(default=None, repr=False)
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    revocation_endpoint: str = ""


class AuthorizationServer:
    """Everything raises `IssuerUnavailable`, `EgressDenied` or `BadUpstream` besides."""

    def __init__(self, registration: Registration, fetch: Fetch, clock: Clock) -> None:
        self.registration = registration
        self._fetch, self._clock = fetch, clock
        self._known: Endpoints | None = None
        self._known_until_s = 0.0

    async def endpoints(self) -> Endpoints:
        """As the operator says, else as the server's metadata does (RFC 8414, then OpenID Connect)."""
        mine = self.registration
        if mine.authorization_endpoint and mine.token_endpoint:
            return Endpoints(mine.token_endpoint, mine.authorization_endpoint, mine.revocation_endpoint)
        if self._known is not None and self._clock.monotonic() < self._known_until_s:
            return self._known
        for url in well_known(mine.issuer):
            answer = await self._told("GET", url, headers=[_JSON], timeout_s=TIMEOUT_S, max_bytes=MAX_METADATA_BYTES)
            if answer.status == 200:
                self._known = read_endpoints(
                    answer.body, mine.issuer, token=mine.token_endpoint, authorization=mine.authorization_endpoint
                )
                self._known_until_s = self._clock.monotonic() + KEPT_S
                return self._known
        raise BadUpstream(why="oauth: the issuer publishes no metadata")

    async def authorization_url(self, parameters: Mapping[str, str]) -> str:
        """Where a browser asks for a code; `parameters` besides those that say who asks."""
        where = (await self.endpoints()).authorization
        if not where:
            raise BadUpstream(why="oauth: the issuer offers no authorization code with S256 (RFC 7636)")
        joint = "&" if urlsplit(where).query else "?"
        asked = {"response_type": "code", "client_id": self.registration.client_id, **parameters}
        return f"{where}{joint}{urlencode(asked)}"

    async def ask(self, form: Mapping[str, str], issued_types: frozenset[str] = frozenset()) -> Tokens:
        """What the token endpoint gives for `form`. Raises `Refused`."""
        endpoint = (await self.endpoints()).token
        answer = await self._post(endpoint, form)
        return read_tokens(*answer, now_s=self._clock.wall(), issued_types=issued_types)

    async def revoke(self, token: str) -> bool:
        """Ask to forget a token (RFC 7009); whether that was heard. A courtesy: raises nothing."""
        try:
            endpoint = (await self.endpoints()).revocation
            return bool(endpoint) and (await self._post(endpoint, {"token": token}))[0] == 200
        except Refusal:
            return False

    async def _post(self, endpoint: str, form: Mapping[str, str]) -> tuple[int, bytes]:
        # The id also beside the header that has it: servers on the MCP SDK look for it in the form alone.
        mine, headers, sent = self.registration, [_FORM, _JSON], {**form, "client_id": self.registration.client_id}
        if mine.assertion is not None:
            sent |= {"client_assertion_type": ASSERTION_TYPE, "client_assertion": mine.assertion()}
        elif mine.secret is not None and mine.manner == "post":
            sent["client_secret"] = mine.secret.reveal()
        elif mine.secret is not None:
            headers.append((b"authorization", basic(mine.client_id, mine.secret.reveal())))
        answer = await self._told(
            "POST",
            endpoint,
            headers=headers,
            body=urlencode(sent).encode(),
            timeout_s=TIMEOUT_S,
            max_bytes=MAX_BYTES,
        )
        return answer.status, answer.body

    async def _told(self, method: str, url: str, **request: Any) -> Fetched:
        """The server's answer. That it gives none is not an upstream's failure, and must not count as one (RES-01)."""
        try:
            return await self._fetch(method, url, **request)
        except (UpstreamUnavailable, DeadlineExceeded) as error:
            raise IssuerUnavailable(why=f"oauth: {error.why}") from error


def basic(client_id: str, client_secret: str) -> bytes:
    """`client_secret_basic` (RFC 6749 section 2.3.1: each part is form-encoded first)."""
    return b"Basic " + base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(client_secret)}".encode())


def challenge_of(verifier: str) -> str:
    """S256 (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


__all__ = ["AuthorizationServer", "Refused", "Registration", "Tokens", "basic", "challenge_of"]

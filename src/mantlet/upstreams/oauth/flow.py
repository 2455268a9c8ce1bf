"""An authorization code with PKCE: asked for by a browser, redeemed here (RFC 6749 section 4.1, RFC 7636; OAUTH-03)."""

import secrets
from collections.abc import Mapping, Sequence

from mantlet.upstreams.oauth.answer import Refused, Tokens
from mantlet.upstreams.oauth.server import AuthorizationServer, challenge_of


class CodeFlow:
    """`policies.away.port.Flow`. `redirect_uri` is this flow's alone: no other server's answer fits.

    `resource` is for whom the tokens shall be (RFC 8707); empty: nothing is said.
    """

    def __init__(
        self,
        name: str,
        server: AuthorizationServer,
        redirect_uri: str,
        *,
        scope: Sequence[str] = (),
        resource: str = "",
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.scope = name, tuple(scope)
        self._server, self._redirect_uri, self._resource = server, redirect_uri, resource
        self._parameters = dict(parameters or {})

    @property
    def issuer(self) -> str:
        """Who is asked."""
        return self._server.registration.issuer

    async def begin(self, state: str) -> tuple[str, str]:
        """Where the browser goes, and the verifier without which the answer is worth nothing. Raises as `Fetch`."""
        verifier = secrets.token_urlsafe(48)
        asked = {
            **self._parameters,
            "redirect_uri": self._redirect_uri,
            "state": state,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
        }
        if self.scope:
            asked["scope"] = " ".join(self.scope)
        if self._resource:
            asked["resource"] = self._resource
        return await self._server.authorization_url(asked), verifier

    async def is_own(self, iss: str | None) -> bool:
        """Whether an answer that names `iss` (None: nobody) can be this server's (RFC 9207 section 2.4)."""
        if iss is None:
            return not (await self._server.endpoints()).says_iss
        return iss == self.issuer

    async def redeem(self, code: str, verifier: str) -> Tokens | str:
        """The tokens for a code, or the server's word for none. Raises as `Fetch`."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
        }
        if self._resource:
            form["resource"] = self._resource
        try:
            return await self._server.ask(form)
        except Refused as refusal:
            return refusal.error

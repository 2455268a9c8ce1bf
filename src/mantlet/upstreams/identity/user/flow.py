"""How a grant comes about: the authorization code with PKCE, asked for by a browser and redeemed here (OAUTH-03)."""

import secrets
from collections.abc import Mapping, Sequence

from mantlet.upstreams.identity.user.book import GrantBook
from mantlet.upstreams.oauth import Refused, Tokens
from mantlet.upstreams.oauth.server import challenge_of


class GrantFlow:
    """`policies.grants.port.Flow`, for one upstream. `redirect_uri` is its own alone: no other server's answer fits."""

    def __init__(
        self, book: GrantBook, redirect_uri: str, scope: Sequence[str], parameters: Mapping[str, str], host: str
    ) -> None:
        self._book, self._redirect_uri, self._parameters = book, redirect_uri, parameters
        self.scope, self.host = tuple(scope), host

    @property
    def upstream(self) -> str:
        """Its name."""
        return self._book.upstream

    @property
    def issuer(self) -> str:
        """Who is asked."""
        return self._book.server.registration.issuer

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
        if self._book.resource:
            asked["resource"] = self._book.resource
        return await self._book.server.authorization_url(asked), verifier

    async def is_own(self, iss: str | None) -> bool:
        """Whether an answer that names `iss` (None: nobody) can be this server's (RFC 9207 section 2.4)."""
        if iss is None:
            return not (await self._book.server.endpoints()).says_iss
        return iss == self.issuer

    async def redeem(self, code: str, verifier: str) -> Tokens | str:
        """The tokens for a code, or the server's word for none. Raises as `Fetch`."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
        }
        if self._book.resource:
            form["resource"] = self._book.resource
        try:
            return await self._book.server.ask(form)
        except Refused as refusal:
            return refusal.error

    async def keep(self, caller_key: tuple[str, str, str], tokens: Tokens) -> None:
        """From now on these tokens are the caller's."""
        await self._book.keep(caller_key, tokens)

"""A real MCP server with an authorization server of its own, both on the SDK, that trusts an enterprise's issuer:
tokens are given for identity assertions (ID-JAG) alone (SEP-990)."""

import asyncio
import contextlib
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import jwt
import uvicorn
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken, IdentityAssertionParams, TokenError
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

CLIENT, SECRET = "gateway-at-the-application", "secret-of-the-application-0123456789"


@dataclass
class Enterprise:
    """The server, its authorization server's provider, and what they saw."""

    idp: str
    keys: Callable[[], dict[str, Any]]
    port: int
    assertions: list[str] = field(default_factory=list)
    tokens: dict[str, AccessToken] = field(default_factory=dict)
    spent: set[str] = field(default_factory=set)

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.issuer}/mcp"

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        if client_id != CLIENT:
            return None
        return OAuthClientInformationFull(
            client_id=CLIENT,
            client_secret=SECRET,
            redirect_uris=None,
            grant_types=["urn:ietf:params:oauth:grant-type:jwt-bearer"],
            token_endpoint_auth_method="client_secret_basic",
        )

    async def exchange_identity_assertion(
        self, client: OAuthClientInformationFull, params: IdentityAssertionParams
    ) -> OAuthToken:
        self.assertions.append(params.assertion)
        try:
            head = jwt.get_unverified_header(params.assertion)
            keys = jwt.PyJWKSet.from_dict(await asyncio.to_thread(self.keys))
            key = next(one for one in keys.keys if one.key_id == head["kid"])
            claims = jwt.decode(params.assertion, key, ["RS256"], audience=self.issuer, issuer=self.idp)
        except (jwt.PyJWTError, StopIteration, KeyError) as error:
            raise TokenError("invalid_grant", "bad assertion") from error
        if (
            head.get("typ") != "oauth-id-jag+jwt"
            or claims["client_id"] != client.client_id
            or claims["jti"] in self.spent
        ):
            raise TokenError("invalid_grant", "bad assertion")
        self.spent.add(claims["jti"])
        token = secrets.token_urlsafe(24)
        self.tokens[token] = AccessToken(
            token=token,
            client_id=CLIENT,
            scopes=claims["scope"].split(),
            expires_at=int(time.time()) + 300,
            resource=claims["resource"],
            subject=claims["sub"],
        )
        return OAuthToken(access_token=token, token_type="Bearer", expires_in=300, scope=claims["scope"])

    async def load_access_token(self, token: str) -> AccessToken | None:
        return self.tokens.get(token)

    def application(self) -> Any:
        settings = AuthSettings(
            issuer_url=self.issuer,  # type: ignore[arg-type]
            resource_server_url=self.url,  # type: ignore[arg-type]
            validate_token_resource=True,
            identity_assertion_enabled=True,
        )
        server = MCPServer("enterprise", version="1.0.0", log_level="ERROR", auth_server_provider=self, auth=settings)

        @server.tool()
        def whoami() -> str:
            """Say for whom the call is."""
            token = get_access_token()
            assert token is not None
            return f"{token.subject} {' '.join(token.scopes)}"

        return server.streamable_http_app(json_response=True)


@contextlib.asynccontextmanager
async def enterprise(idp: str, keys: Callable[[], dict[str, Any]], port: int) -> AsyncIterator[Enterprise]:
    """Serve until the block ends."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        server = Enterprise(idp, keys, port)
        running = uvicorn.Server(uvicorn.Config(server.application(), log_level="critical", ws="none"))
        serving = asyncio.ensure_future(running.serve([sock]))
        while not running.started:
            await asyncio.sleep(0.01)
        try:
            yield server
        finally:
            running.should_exit = True
            running.force_exit = True
            await serving

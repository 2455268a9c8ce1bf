"""A real MCP server (SDK 2.x) that takes nobody without an access token of its own authorization server.

In the test's own loop: `async with guarded(issuer, jwks) as server`. It checks signature, issuer, audience (itself) and
that no token is on `revoked`; `whoami` says for whom the token was given.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import jwt
import uvicorn
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer


@dataclass
class Guarded:
    """The server, and what it saw."""

    issuer: str
    keys: Callable[[], dict[str, Any]]
    port: int = 0
    seen: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    revoked: set[str] = field(default_factory=set)
    algorithms: tuple[str, ...] = ("RS256",)
    is_closed: bool = False
    """Takes nobody at all."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    async def verify_token(self, token: str) -> AccessToken | None:
        self.seen.append(token)
        if token in self.revoked or self.is_closed:
            return None
        try:
            keys = jwt.PyJWKSet.from_dict(await asyncio.to_thread(self.keys))
            kid = jwt.get_unverified_header(token).get("kid")
            key = next(one for one in keys.keys if one.key_id == kid)
            claims = jwt.decode(token, key, list(self.algorithms), audience=self.url, issuer=self.issuer)
        except (jwt.PyJWTError, StopIteration):
            return None
        return AccessToken(
            token=token,
            client_id=claims.get("client_id", ""),
            scopes=claims.get("scope", "").split(),
            expires_at=claims["exp"],
            subject=claims["sub"],
            resource=claims["aud"],
        )

    def application(self) -> Any:
        settings = AuthSettings(
            issuer_url=self.issuer,
            resource_server_url=self.url,
            validate_token_resource=True,  # type: ignore[arg-type]
        )
        server = MCPServer("guarded", version="1.0.0", log_level="ERROR", token_verifier=self, auth=settings)

        @server.tool()
        def whoami() -> str:
            """Say for whom the call is."""
            token = get_access_token()
            assert token is not None
            return f"{token.subject} {' '.join(sorted(token.scopes))}".strip()

        @server.tool()
        async def wait(seconds: float = 0.2) -> str:
            """Take a while, and say for whom."""
            await asyncio.sleep(seconds)
            token = get_access_token()
            assert token is not None
            return str(token.subject)

        inner = server.streamable_http_app(json_response=True)

        async def outer(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                self.headers.append({name.decode(): value.decode("latin-1") for name, value in scope["headers"]})
            await inner(scope, receive, send)

        return outer


@contextlib.asynccontextmanager
async def guarded(issuer: str, keys: Callable[[], dict[str, Any]], **more: Any) -> AsyncIterator[Guarded]:
    """Serve until the block ends."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        server = Guarded(issuer, keys, sock.getsockname()[1], **more)
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

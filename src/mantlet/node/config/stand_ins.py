# ruff: noqa: D101
"""Sections whose rooms are not built yet; goes away with the last of them."""

from typing import Any, Literal

import msgspec

from mantlet.core.secret import Secret


class _S(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class ApiKeyConfig(_S, frozen=True, kw_only=True):
    name: str
    key: Secret
    roles: list[str] = []
    tenant: str = "default"
    scopes: list[str] = []


class JwtConfig(_S, frozen=True, kw_only=True):
    secret: Secret | None = None
    algorithms: tuple[str, ...] = ("EdDSA",)
    issuer: str | None = None
    audience: str | None = None
    max_token_age: float = 3600


class MockConfig(_S, frozen=True, kw_only=True):
    tokens: dict[str, Any] = {}


class AuthConfig(_S, frozen=True, kw_only=True):
    enabled: bool = True
    api_keys: list[ApiKeyConfig] = []
    jwt: JwtConfig = JwtConfig()
    issuers: list[dict[str, Any]] = []
    mtls: dict[str, Any] | None = None
    mock: MockConfig = MockConfig()


class HttpServerConfig(_S, frozen=True, kw_only=True):
    name: str
    url: str
    transport: Literal["http"] = "http"
    forward_identity: Any = None
    endpoints: list[dict[str, Any]] = []
    balance: Any = None
    breaker: Any = None
    health: Any = None
    retry: Any = None
    fallback: Any = None
    tls: Any = None
    headers: dict[str, str] = {}

"""An HTTP client for talking to agents, as safe as the environment asks."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Self

from mantlet.core.ports import Fetched
from mantlet.upstreams.client import Fetcher, TlsConfig
from mantlet.upstreams.egress import Guard, compile_rules

Environment = Literal["development", "staging", "production"]
DEFAULT_MAX_BYTES: Final = 8_388_608


class SecureAgentClient:
    """Requests to agents and services outside. Answers are whole and bounded; no cookie is kept.

    In every environment the address that was checked is the one that is connected to, and private, link-local and
    metadata addresses are refused unless `allow` lists them (networks, addresses, `*.corp.internal`). `production`
    takes `https` alone and follows no redirect; `staging` follows redirects within one origin; `development` may use
    `http`, and loopback. `pins` are `sha256/BASE64` of keys, at least two; `client_cert_file` and `client_key_file` are
    for mutual TLS. Raises `ValueError` or `OSError` for settings that cannot be used.

    >>> async with SecureAgentClient(allow=["*.agents.internal"]) as client:
    ...     answer = await client.post("https://planner.agents.internal/tasks", json={"goal": "lunch"})
    """

    def __init__(
        self,
        environment: Environment = "production",
        *,
        allow: Sequence[str] | None = None,
        deny: Sequence[str] = (),
        ca_file: str | None = None,
        pins: Sequence[str] = (),
        client_cert_file: str | None = None,
        client_key_file: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 10.0,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> None:
        is_development = environment == "development"
        rules = compile_rules(allow=allow, deny=list(deny), configured=(), is_development=is_development)
        self._guard = Guard(rules)
        tls = TlsConfig(
            ca_file=ca_file, pins=list(pins), client_cert_file=client_cert_file, client_key_file=client_key_file
        )
        self._fetch = Fetcher(
            resolve=self._guard.resolve,
            tls=tls,
            is_plain_allowed=is_development,
            follows_redirects=environment != "production",
        )
        self._headers = dict(headers or {})
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection; requests under way fail."""
        await self._fetch.close()
        await self._guard.close()

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Fetched:
        """See `request`."""
        return await self.request("GET", url, headers=headers)

    async def post(
        self, url: str, *, json: Any = None, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Fetched:
        """See `request`."""
        return await self.request("POST", url, json=json, body=body, headers=headers)

    async def request(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Fetched:
        """The answer, whatever its status: `status`, `headers`, `body`. `json` is sent as such, instead of `body`.

        Raises `mantlet.core.refusal.EgressDenied` for where it must not go, `UpstreamUnavailable`, `BadUpstream` or
        `DeadlineExceeded`.
        """
        fields = {**self._headers, **(headers or {})}
        if json is not None:
            body = _dumped(json)
            fields.setdefault("Content-Type", "application/json")
        return await self._fetch(
            method,
            url,
            headers=[(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in fields.items()],
            body=body,
            timeout_s=self._timeout_s,
            max_bytes=self._max_bytes,
        )


def _dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()

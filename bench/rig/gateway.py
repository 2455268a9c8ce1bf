"""The one place that knows how Mantlet is started and what a config for it looks like."""

import contextlib
import json
import secrets
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jwt
import yaml

from bench.rig.process import Program, free_port

AUDIENCE = "https://mantlet.test/mcp"
ISSUER = "https://issuer.test"
PLENTY = 1_000_000_000
"""A limit that is counted and never reached."""


@dataclass(frozen=True)
class Gateway:
    """A running node."""

    url: str
    """The origin; `/mcp` and `/mcp/{server}` are below it."""
    admin_url: str
    token: str
    program: Program
    listening_after_s: float
    folder: Path
    secret: str = field(repr=False, default="")
    trust: ssl.SSLContext | None = field(repr=False, default=None)
    """What clients of its TLS verify it with; None: it speaks plain HTTP."""

    def mcp(self, server: str = "") -> str:
        """The endpoint of one server, or of all as one."""
        return f"{self.url}/mcp/{server}" if server else f"{self.url}/mcp"

    def mint(self, subject: str) -> str:
        """A token of another caller, with a role of its own."""
        return _token(self.secret, subject)


def config(servers: list[Mapping[str, Any]], **sections: Mapping[str, Any]) -> dict[str, Any]:
    """A whole config: identity, rules, limits, strict JSON, audit and metrics on; `sections` replace whole sections."""
    base: dict[str, Any] = {
        "environment": "development",
        "http": {"max_connections": 10_000},
        "auth": {
            "jwt": {"algorithms": ["HS256"], "issuer": ISSUER, "audience": AUDIENCE, "max_token_age": 86_400},
        },
        "limits": {
            "client": {"requests": PLENTY, "window": 60},
            "global": {"requests": PLENTY, "window": 60},
            "burst": {"requests": PLENTY, "window": 1},
            "connections": {"per_address": 10_000},
        },
        "authorization": {
            "default": "deny",
            "rules": [
                {"name": "no-shell", "deny": {"tools": ["*__exec", "exec"]}},
                {"name": "tools", "allow": {"scopes": ["mcp:read"], "servers": ["*"], "tools": ["*"]}},
                {"name": "the-rest", "allow": {"scopes": ["mcp:read"], "servers": ["*"]}},
            ],
        },
        "audit": {"durability": "write"},
        "telemetry": {"metrics": True},
        "logging": {"level": "WARNING"},
        "mcp": {
            "limits": {"max_concurrent_requests": 10_000},
            "servers": list(servers),
        },
    }
    return {**base, **sections}


def stdio(name: str, *command: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A server that the node starts itself."""
    return {"name": name, "transport": "stdio", "command": list(command), "env": dict(env or {})}


def http(name: str, url: str) -> dict[str, Any]:
    """A server that is there already."""
    return {"name": name, "transport": "http", "url": url}


def _token(secret: str, subject: str = "bench") -> str:
    now_s = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "iat": now_s,
        "nbf": now_s - 1,
        "exp": now_s + 86_000,
        "jti": secrets.token_hex(8),
        "scope": "mcp:read mcp:write",
        "scopes": ["mcp:read", "mcp:write"],
        "roles": [f"role-of-{subject}"],
    }
    return jwt.encode(claims, secret, algorithm="HS256", headers={"typ": "at+jwt"})


@contextlib.contextmanager
def start_gateway(settings: Mapping[str, Any], folder: Path, trust: Path | None = None) -> Iterator[Gateway]:
    """Run `mantlet serve` with `settings` until the block ends.

    Ports, paths and the signing secret are filled in here; everything the node writes stays in `folder`. `trust` is the
    authority's certificate where `http.tls` is set.
    Raises `NotStarted` with the end of its output when it does not come up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    secret = secrets.token_urlsafe(48)
    secret_file = folder / "jwt.secret"
    secret_file.write_text(secret)
    secret_file.chmod(0o600)
    port, admin_port = free_port(), free_port()
    whole = json.loads(json.dumps(settings))
    whole["http"] = {**whole.get("http", {}), "host": "127.0.0.1", "port": port}
    whole["admin"] = {**whole.get("admin", {}), "host": "127.0.0.1", "port": admin_port}
    whole["audit"] = {**whole.get("audit", {}), "path": str(folder / "audit")}
    whole.setdefault("database", {"url": f"sqlite:///{folder / 'mantlet.db'}"})
    whole["agent"] = {**whole.get("agent", {}), "shared_dir": str(folder / "shared")}
    if "jwt" in whole.get("auth", {}):
        whole["auth"]["jwt"]["secret_file"] = str(secret_file)
    file = folder / "mantlet.yaml"
    file.write_text(yaml.safe_dump(whole, sort_keys=False))
    program = Program([sys.executable, "-m", "mantlet", "serve", "-c", str(file)], folder / "gateway.log")
    try:
        listening_after_s = program.wait_listening(port)
        context = None if trust is None else ssl.create_default_context(cafile=str(trust))
        url = f"{'http' if context is None else 'https'}://127.0.0.1:{port}"
        wait_ready(url, context=context)
        admin_url = f"http://127.0.0.1:{admin_port}"
        yield Gateway(url, admin_url, _token(secret), program, listening_after_s, folder, secret, context)
    finally:
        program.stop()


def again(gateway: Gateway) -> Gateway:
    """A node whose process has ended, started once more with all that it left; whoever calls ends it."""
    command = [sys.executable, "-m", "mantlet", "serve", "-c", str(gateway.folder / "mantlet.yaml")]
    program = Program(command, gateway.program.log)
    listening_after_s = program.wait_listening(int(gateway.url.rpartition(":")[2]))
    wait_ready(gateway.url, context=gateway.trust)
    return replace(gateway, program=program, listening_after_s=listening_after_s)


def wait_ready(url: str, timeout_s: float = 20.0, context: ssl.SSLContext | None = None) -> None:
    """Wait for 200 from `/readyz`; a node without it counts as ready."""
    until_s = time.monotonic() + timeout_s
    while time.monotonic() < until_s:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=2, context=context):
                return
        except urllib.error.HTTPError as answer:
            if answer.code != 503:
                return
        except OSError:
            pass
        time.sleep(0.05)

"""ContextForge with SQLite and a signed token; the echo server is registered through its API."""

import contextlib
import json
import secrets
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from bench.rig.meter import Meter
from bench.rig.process import NotStarted, free_port, running
from bench.rounds import Target

ADMIN = "admin@example.com"
_READY_TIMEOUT_S = 20.0


@contextlib.contextmanager
def start(name: str, program: Path, upstream: int, folder: Path) -> Iterator[Target]:
    """The gateway before the server on port `upstream`."""
    port = free_port()
    secret = secrets.token_urlsafe(48)
    env = {
        "JWT_SECRET_KEY": secret,
        "AUTH_ENCRYPTION_SECRET": secrets.token_urlsafe(48),
        "PLATFORM_ADMIN_EMAIL": ADMIN,
        "DATABASE_URL": f"sqlite:///{folder}/gateway.db",
        "LOG_LEVEL": "ERROR",
        "RATE_LIMIT_MEDIUM_RPM": "1000000",
        "RATE_LIMIT_MEDIUM_BURST": "1000000",
        # Else it registers no server on loopback.
        "SSRF_ALLOW_LOCALHOST": "true",
        "SSRF_ALLOW_PRIVATE_NETWORKS": "true",
    }
    for who in ("PLATFORM_ADMIN", "DEFAULT_USER", "BASIC_AUTH"):
        env[f"{who}_PASSWORD"] = f"{secrets.token_urlsafe(24)}-9aA!"
    command = [str(program), "--host", "127.0.0.1", "--port", str(port)]
    with running(command, port, folder / "log", env, folder) as started:
        token = _token(program, secret, env, folder)
        _register(port, upstream, token)
        yield Target(name, port, "/mcp", (token,), Meter.of(started.pid), is_slow=True, tool="echo-echo")


def _token(program: Path, secret: str, env: dict[str, str], folder: Path) -> str:
    command = [str(program.with_name("python")), "-m", "mcpgateway.utils.create_jwt_token"]
    command += ["--username", ADMIN, "--exp", "600", "--secret", secret]
    made = subprocess.run(command, check=False, capture_output=True, text=True, env=env, cwd=folder)
    if made.returncode:
        raise NotStarted(f"ContextForge made no token: {made.stderr[-300:]}")
    return made.stdout.split()[-1]


def _register(port: int, upstream: int, token: str) -> None:
    server = {"name": "echo", "url": f"http://127.0.0.1:{upstream}/mcp", "transport": "STREAMABLEHTTP"}
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    url = f"http://127.0.0.1:{port}/gateways"
    until_s = time.monotonic() + _READY_TIMEOUT_S
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, json.dumps(server).encode(), headers), timeout=20):
                return
        except OSError as error:
            if time.monotonic() > until_s:
                raise NotStarted(f"ContextForge did not take the server: {error}") from error
            time.sleep(0.2)

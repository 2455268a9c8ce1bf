"""A stub of HashiCorp Vault, as far as its HTTP API documents what a node uses: AppRole, KV version 2, leases.

A stub, and no Vault: paths, fields and statuses are those of the API documentation (auth/approle, secret/kv/kv-v2,
auth/token); policies, sealing and storage are not there.
"""

import contextlib
import http.server
import json
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class VaultStub:
    """What is in it, and what was asked. `kept` is by mount and path; `tokens` are those that live."""

    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    namespace: str = ""
    is_sealed: bool = False
    url: str = ""

    def answer(self, verb: str, path: str, token: str, namespace: str, body: Any) -> tuple[int, Any]:
        self.asked.append((verb, path))
        if self.is_sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if namespace != self.namespace:
            return 404, {"errors": []}
        if (verb, path) == ("POST", "/v1/auth/approle/login"):
            return self._login(body)
        if token not in self.tokens:
            return 403, {"errors": ["permission denied"]}
        if (verb, path) == ("POST", "/v1/auth/token/renew-self"):
            return 200, {"auth": {"client_token": token, "lease_duration": 3600, "renewable": True}}
        if (verb, path) == ("POST", "/v1/auth/token/revoke-self"):
            self.tokens.discard(token)
            return 204, None
        mount, kv, rest = [*path.removeprefix("/v1/").split("/", 2), "", ""][:3]
        found = self.kept.get(f"{mount}/{rest}")
        if verb != "GET" or kv != "data" or found is None:
            return 404, {"errors": []}
        metadata = {"created_time": "2026-01-01T00:00:00Z", "deletion_time": "", "destroyed": False, "version": 1}
        return 200, {"request_id": "r", "lease_id": "", "renewable": False, "lease_duration": 0,
                     "data": {"data": found, "metadata": metadata}}  # fmt: skip

    def _login(self, body: Any) -> tuple[int, Any]:
        if not isinstance(body, dict) or self.roles.get(body.get("role_id", "")) != body.get("secret_id"):
            return 400, {"errors": ["invalid role or secret ID"]}
        token = f"hvs.{secrets.token_urlsafe(16)}"
        self.tokens.add(token)
        return 200, {
            "auth": {"client_token": token, "lease_duration": 1200, "renewable": True, "token_type": "service"}
        }


@contextlib.contextmanager
def running_vault(stub: VaultStub) -> Iterator[VaultStub]:
    """The stub on a loopback port until the block ends."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def _any(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            token, namespace = self.headers.get("X-Vault-Token", ""), self.headers.get("X-Vault-Namespace", "")
            if self.headers.get("X-Vault-Request") != "true":
                status, told = 403, {"errors": ["X-Vault-Request is missing"]}
            else:
                status, told = stub.answer(self.command, self.path, token, namespace, body)
            raw = b"" if told is None else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = do_PUT = _any

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Nothing: the test's output is for tests."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

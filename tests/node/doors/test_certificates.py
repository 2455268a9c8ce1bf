"""A node with TLS, whole: callers by certificate, HTTP/2, renewal on SIGHUP in every process (TLS-02, TLS-05)."""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from bench.rig.process import free_port
from tests.node.processes.support import eventually

from mantlet.ops import certs

META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
CONFIG = """
environment: production
agent: {{name: tls, url: "https://localhost:{port}"}}
http:
  {{port: {port}, workers: {workers}, http2: true, tls: {{cert_file: certs/server.pem, key_file: certs/server.key}}}}
limits: {{client: {{requests: 10000}}, global: {{requests: 10000}}, burst: null}}
admin: {{port: {admin}, tls: {{cert_file: certs/server.pem, key_file: certs/server.key}}}}
auth:
  mtls:
    enabled: true
    ca_file: certs/ca.pem
    crl_file: certs/ca.crl
    revoked_file: revoked
    callers: [{{san: "spiffe://example/a", roles: [admin]}}]
authorization: {{rules: [{{name: all, allow: {{roles: [admin]}}}}]}}
"""
KNOWN = 403
"""Who is known, and finds no server behind this node."""


class Node:
    def __init__(self, folder: Path, workers: int) -> None:
        self.folder, self.workers = folder, workers
        self.port, self.admin = free_port(), free_port()
        certs.authority(folder / "certs", "Test", 30)
        certs.client(folder / "certs", "client", ["spiffe://example/a"], [], 5)
        certs.revocation_list(folder / "certs", [], 5)
        self.serial = self.renew()
        (folder / "revoked").write_text("")
        (folder / "mantlet.yaml").write_text(CONFIG.format(port=self.port, admin=self.admin, workers=workers))
        self.log = (folder / "log").open("wb")
        self.program = subprocess.Popen(
            [sys.executable, "-m", "mantlet", "serve", "-c", "mantlet.yaml"], cwd=folder, stderr=self.log
        )

    def renew(self) -> str:
        for name in ("server.pem", "server.key"):
            (self.folder / "certs" / name).unlink(missing_ok=True)
        self.serial = certs.server(self.folder / "certs", "server", ["localhost"], 20).serial
        return self.serial

    def context(self, *, shows: bool = True) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=self.folder / "certs" / "ca.pem")
        if shows:
            made.load_cert_chain(self.folder / "certs" / "client.pem", self.folder / "certs" / "client.key")
        return made

    def call(self, *, shows: bool = True) -> int:
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=10, context=self.context(shows=shows))
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/list",
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
        try:
            connection.request("POST", "/mcp", json.dumps(body), headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def shown(self, port: int) -> str:
        with socket.create_connection(("localhost", port), timeout=10) as sock:
            with self.context().wrap_socket(sock, server_hostname="localhost") as made:
                return f"{int(made.getpeercert()['serialNumber'], 16):x}"  # type: ignore[index, arg-type]

    def told(self, event: str) -> int:
        return (self.folder / "log").read_bytes().count(event.encode())

    def metrics(self) -> str:
        connection = http.client.HTTPSConnection("localhost", self.admin, timeout=10, context=self.context())
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        finally:
            connection.close()


@pytest.fixture(scope="module", params=[1, pytest.param(2, marks=pytest.mark.slow)])
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    made = Node(tmp_path_factory.mktemp("tls"), request.param)
    try:
        eventually(lambda: bool(made.shown(made.admin)) and made.call() == KNOWN)
        yield made
    finally:
        made.program.terminate()
        assert made.program.wait(20) == 0
        made.log.close()


def test_a_certificate_identifies_and_without_one_nobody_is_known(node: Node) -> None:
    """TLS-02"""
    assert node.call() == KNOWN
    assert node.call(shows=False) == 401
    trail = b"".join(path.read_bytes() for path in (node.folder / "var" / "audit").glob("*.jsonl"))
    assert b'"principal":"default/mantlet:mtls/spiffe://example/a"' in trail


async def test_http_2_is_spoken_to_who_asks(node: Node) -> None:
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/list",
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
    async with httpx2.AsyncClient(http2=True, verify=node.context()) as client:
        answer = await client.post(f"https://localhost:{node.port}/mcp", json=body, headers=headers)
    assert (answer.status_code, answer.http_version) == (KNOWN, "HTTP/2")


def test_hang_up_renews_in_every_process(node: Node) -> None:
    """TLS-05"""
    wanted = node.renew()
    node.program.send_signal(signal.SIGHUP)
    # Several connections, since the kernel gives them to any worker.
    eventually(lambda: all(node.shown(port) == wanted for port in [node.port] * 8 + [node.admin]))
    assert node.call() == KNOWN
    assert "mantlet_tls_certificate_expires_timestamp_seconds" in node.metrics()


def test_a_bad_pair_changes_nothing_and_is_told(node: Node) -> None:
    """TLS-05"""
    shown = node.shown(node.port)
    (node.folder / "certs" / "server.key").write_text("no key")
    before = node.told("tls.reload_failed")
    node.program.send_signal(signal.SIGHUP)
    eventually(lambda: node.told("tls.reload_failed") > before)
    assert node.shown(node.port) == shown
    assert node.call() == KNOWN
    node.renew()
    node.program.send_signal(signal.SIGHUP)
    eventually(lambda: node.shown(node.port) == node.serial)


def test_a_revoked_certificate_is_refused_within_seconds(node: Node) -> None:
    """TLS-02"""
    from cryptography import x509

    made = x509.load_pem_x509_certificate((node.folder / "certs" / "client.pem").read_bytes())
    (node.folder / "revoked").write_text(f"serial:{made.serial_number:x}\n")
    eventually(lambda: [node.call() for _ in range(4)] == [401] * 4)
    (node.folder / "revoked").write_text("")
    os.utime(node.folder / "revoked", ns=(1, time.time_ns()))
    eventually(lambda: [node.call() for _ in range(4)] == [KNOWN] * 4)


def test_a_revocation_list_is_taken_up_by_every_process_and_taken_back(node: Node) -> None:
    """TLS-02: an authority's own list, in the handshake."""
    folder = node.folder / "certs"

    def is_refused(*, shows: bool = True) -> bool:
        try:
            node.call(shows=shows)
        except (ssl.SSLError, ConnectionError):
            return True
        return False

    certs.revocation_list(folder, [str(folder / "client.pem")], 5)
    node.program.send_signal(signal.SIGHUP)
    eventually(lambda: all(is_refused() for _ in range(8)))
    assert not is_refused(shows=False)
    (folder / "ca.crl").unlink()
    certs.revocation_list(folder, [], 5)
    node.program.send_signal(signal.SIGHUP)
    eventually(lambda: [node.call() for _ in range(4)] == [KNOWN] * 4)
    assert "mantlet_tls_revocation_list_ends_timestamp_seconds" in node.metrics()

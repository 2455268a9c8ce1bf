"""`check` finds what only shows when the parts are made."""

import os
from pathlib import Path

import pytest

from mantlet.node.check.examine import NOT_UNDERSTOOD, examine

KEY = "kJ8x2Vq0ZrT5mWc7LpN4bYh9sDf3GaE6uQiOo1XtRvB"
ROUTE = "{match: {tool: a}, client: {requests: 1}, name: x}"
JWT = f"agent: {{url: 'https://a'}}\nauth: {{jwt: {{secret: {KEY}, algorithms: [ALG]}}}}"
BAD = [
    ("authorization: {rules: [{name: r}]}", "authorization.rules", "exactly one of"),
    ("authorization: {rules: [{name: r, allow: {}, deny: {}}]}", "authorization.rules", "exactly one of"),
    (f"limits: {{routes: [{ROUTE}, {ROUTE}]}}", "limits.routes", "is taken"),
    (f"auth: {{api_keys: [{{name: a, key: {KEY}, expires: tomorrow}}]}}", "auth.api_keys[0].expires", "is no instant"),
    ("auth: {api_keys: [{name: a}]}", "auth.api_keys[0]", "must have either key or key_file"),
    (JWT.replace("ALG", "none"), "auth.jwt.algorithms", "accepted"),
    (JWT.replace("ALG", "ES256"), "auth.jwt.algorithms", "none of"),
    ("http: {tls: {cert_file: bad.pem, key_file: bad.pem}}", "http.tls", "not accepted"),
    ("auth: {mtls: {enabled: true}}", "auth.mtls", "listener with TLS"),
    ("tcp: {enabled: true, port: 8000}\nhttp: {port: 8000}", "tcp.port", "the port of http too"),
    ("websocket: {enabled: true, host: 0.0.0.0, port: 9501}", "admin.port", "the port of websocket too"),
    ("mcp: {servers: [{name: a, command: [no-such-program-x, serve]}]}", "mcp.servers.a", "'no-such-program-x'"),
    ("mcp: {servers: [{name: a, command: [./bad.pem]}]}", "mcp.servers.a", "not found or not executable"),
    ("store: {url: 'redsi://:p@h'}", "store.url", "unknown scheme"),
    ("mcp: {servers: [{name: a, url: 'ftp://h'}]}", "mcp.servers.a", "https://"),
    ("mcp: {servers: [{name: a, url: 'wss://h', tls: {pins: [sha256/x]}}]}", "mcp.servers.a", "pins"),
    ("mcp: {servers: [{name: a, transport: sse, url: 'https://h', tls: {pins: [x]}}]}", "mcp.servers.a", "pins"),
    ("mcp: {servers: [{name: a, host: h, port: 1, tls: {ca_file: bad.pem}}]}", "mcp.servers.a", "not accepted"),
    ("mcp: {servers: [{name: a, object: 'no_such_package_x:server'}]}", "mcp.servers.a", "no package"),
    ("mcp: {servers: [{name: a, url: 'https://u:canary@h'}]}", "mcp.servers.a", "no user or password"),
    ("mcp: {servers: [{name: a, url: 'https://h', tls: {pins: [sha256/x]}}]}", "mcp.servers.a", "pins"),
    ("mcp: {servers: [{name: a, url: 'https://h', endpoints: [{url: 'ftp://h'}]}]}", "mcp.servers.a", "https://"),
    ("mcp: {servers: [{name: a, url: 'https://h', endpoints: [{url: 'https://u:canary@h'}]}]}", "mcp.servers.a",
     "no user or password"),
    ("mcp: {servers: [{name: a, url: 'https://h', endpoints: [{url: 'https://u:canary@h'}, {url: 'https://u:canary@h'}]}]}",
     "mcp.servers[0]", "two have the url"),
    ("http_upstreams: [{name: a, url: 'https://h', endpoints: [{url: 'h:80'}]}]", "http_upstreams.a", "https://"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "key", "words"), BAD)
def test_a_part_that_cannot_be_made_is_told_at_its_key(tmp_path: Path, text: str, key: str, words: str) -> None:
    (tmp_path / "bad.pem").write_text("no certificate")
    (tmp_path / "bad.pem").chmod(0o600)
    path = tmp_path / "mantlet.yaml"
    path.write_text(f"environment: development\n{text}\n")
    report = examine([str(path)], {})
    assert [problem.key for problem in report.problems] == [key]
    assert words in str(report.problems[0])
    assert "canary" not in str(report.problems[0])
    assert report.exit_code == NOT_UNDERSTOOD
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bad.pem", "mantlet.yaml"]


FILES = [
    ("audit: {path: plain}", "audit.path", "plain is no folder"),
    ("audit: {path: plain/deep/audit}", "audit.path", "plain is no folder"),
    ("audit: {path: locked/audit, checkpoint_path: c}", "audit.path", "cannot be written to"),
    ("audit: {checkpoint_path: plain}", "audit.checkpoint_path", "plain is no folder"),
    ("database: {url: 'sqlite:///plain/a.db'}", "database.url", "plain is no folder"),
    ("database: {url: 'sqlite:///folder'}", "database.url", "folder is no file"),
    ("database: {url: 'sqlite:///locked/a.db'}", "database.url", "cannot be written to"),
]


@pytest.mark.parametrize(("text", "key", "words"), FILES)
def test_a_place_that_cannot_be_written_is_told_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, key: str, words: str
) -> None:
    """AUD-02"""
    (tmp_path / "plain").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "locked").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "locked")  # root may write anywhere
    path = tmp_path / "mantlet.yaml"
    path.write_text(f"environment: development\n{text}\n")
    report = examine([str(path)], {})
    told = [str(problem) for problem in report.problems if problem.key == key]
    assert len(told) == 1
    assert words in told[0]
    assert report.exit_code == NOT_UNDERSTOOD
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["folder", "locked", "mantlet.yaml", "plain"]


@pytest.mark.parametrize(
    "text",
    [
        "http: {port: 0}\ntcp: {enabled: true, port: 0}",
        "http: {host: 127.0.0.1, port: 8443}\ntcp: {enabled: true, host: 127.0.0.2, port: 8443}",
        "http: {port: 9501}\nadmin: {enabled: false}",
        "mcp: {servers: [{name: a, command: [sh, -c, 'exit']}]}",
        "mcp: {servers: [{name: a, command: [sh], env: {PATH: '/bin:/usr/bin'}}]}",
    ],
)
def test_what_can_be_told_apart_or_found_is_well(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mantlet.yaml"
    path.write_text(f"environment: development\n{text}\n")
    assert examine([str(path)], {}).problems == ()

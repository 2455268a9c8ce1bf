"""`check` finds what only shows when the parts are made."""

from pathlib import Path

import pytest

from mantlet.node.config.check import NOT_UNDERSTOOD, examine

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
    ("store: {url: 'redsi://:p@h'}", "store.url", "unknown scheme"),
    ("mcp: {servers: [{name: a, url: 'ftp://h'}]}", "mcp.servers.a", "https://"),
    ("mcp: {servers: [{name: a, url: 'https://u:canary@h'}]}", "mcp.servers.a", "no user or password"),
    ("mcp: {servers: [{name: a, url: 'https://h', tls: {pins: [sha256/x]}}]}", "mcp.servers.a", "pins"),
]


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

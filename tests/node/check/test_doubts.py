"""What `check` warns of and does not refuse."""

from pathlib import Path

import pytest

from mantlet.node.check.examine import WOULD_START, examine


def rules(text: str) -> str:
    return f"authorization: {{rules: [{{name: one, {text}}}]}}"


KEY = "kJ8x2Vq0ZrT5mWc7LpN4bYh9sDf3GaE6uQiOo1XtRvB"
ECHO = "mcp: {servers: [{name: echo, transport: http, url: 'http://127.0.0.1:1/mcp'}]}"
OFF = "validation: {filters: {script: 'off'}}"
CASES = [
    ("", []),
    ("limits: {client: {requests: 1000}}", []),
    ("limits: {client: {requests: 1001}}", ["limits.client.requests"]),
    ("limits: {client: {requests: 20, window: 1}, global: {requests: 100, window: 10}}", ["limits.client.requests"]),
    ("limits: {client: {requests: 5000, window: 3600}, global: {requests: 100}}", []),
    ("limits: {enabled: false, client: {requests: 5000}}", []),
    (ECHO, ["validation.filters"]),
    (f"{ECHO}\n{OFF}", []),
    (f"{ECHO}\nvalidation: {{filters: {{sql: log}}}}", []),
    (f"{ECHO}\nvalidation: {{filters_for: [{{tool: t, sql: log}}]}}", []),
    (f"{ECHO}\n{OFF}\n{rules('allow: {tools: [echo, echo__say, e*__say, nobody_s]}')}", []),
    (f"{ECHO}\n{OFF}\n{rules('allow: {tools: [ecco__say]}')}", ["authorization.rules[0].allow.tools"]),
    (f"{ECHO}\n{OFF}\n{rules('deny: {servers: [echo, ecco, e*]}')}", ["authorization.rules[0].deny.servers"]),
    (f"auth: {{api_keys: [{{name: a, key: {KEY}, expires: '2020-01-31T00:00:00Z'}}]}}", ["auth.api_keys[0].expires"]),
    (f"auth: {{api_keys: [{{name: a, key: {KEY}, expires: '2920-01-31T00:00:00Z'}}]}}", []),
]


@pytest.mark.parametrize(("text", "keys"), CASES)
def test_what_is_hardly_meant_is_said_and_starts_all_the_same(tmp_path: Path, text: str, keys: list[str]) -> None:
    path = tmp_path / "mantlet.yaml"
    path.write_text(f"environment: development\n{text}\n")
    report = examine([str(path)], {})
    assert [problem.key for problem in report.doubts] == keys
    assert [warning["key"] for warning in report.as_json()["warnings"]] == keys
    assert report.exit_code == WOULD_START


@pytest.mark.parametrize(
    ("store", "key", "is_said"),
    [
        ("memory://", f"key: {KEY}", True),
        ("memory://", "jwks_url: 'https://near.example/keys'", False),
        ("embedded://", f"key: {KEY}", False),
    ],
)
def test_nodes_that_forget_which_sealed_identities_came_are_told(
    tmp_path: Path, store: str, key: str, is_said: bool
) -> None:
    """FWD-02: single-use is only for as long, and for as many, as one store knows."""
    path = tmp_path / "mantlet.yaml"
    peer = f"{{name: near, issuer: 'https://near.example', audience: 'https://far.example/mcp', {key}}}"
    path.write_text(f"environment: staging\nstore: {{url: '{store}'}}\nauth: {{peers: [{peer}]}}\n")
    assert ("store.url" in [problem.key for problem in examine([str(path)], {}).doubts]) is is_said

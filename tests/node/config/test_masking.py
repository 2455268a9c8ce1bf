"""No secret is shown, wherever it stands (AUD-06, CFG-04)."""

import json
from pathlib import Path

import pytest

from mantlet.node.check.examine import examine
from mantlet.node.config.masking import MASK, is_secret_key, mask_url

CANARY = "CaNaRy0123456789abcdefghijklmnopQRSTUVWXYZ"

HIDING = [
    f"auth: {{jwt: {{secret: {CANARY}, issuer: i, audience: a}}}}",
    f"auth: {{api_keys: [{{name: a, key: {CANARY}}}]}}",
    "auth: {api_keys: [{name: a, key_file: canary.key}]}",
    "auth: {jwt: {secret_file: canary.key, issuer: i, audience: a}}",
    f"auth: {{mock: {{tokens: {{{CANARY}: {{subject: x}}}}}}}}",
    f"store: {{url: 'valkey://user:{CANARY}@h/0'}}",
    f"store: {{url: 'valkey://:{CANARY}@h/0'}}",
    "store: {url: 'valkey://:${PASSWORD}@h/0'}",
    f"llm: {{api_key: {CANARY}}}",
    f"mcp: {{servers: [{{name: a, command: [x], env: {{HARMLESS: {CANARY}}}}}]}}",
    f"mcp: {{servers: [{{name: a, url: 'https://h', headers: {{Authorization: {CANARY}}}}}]}}",
    f"mcp: {{servers: [{{name: a, url: 'https://u:{CANARY}@h/mcp'}}]}}",
    f"alerts: [{{webhook: 'https://x', token: {CANARY}}}]",
    f"auth: {{issuers: [{{name: a, introspection: {{client_secret: {CANARY}}}}}]}}",
    f"auth: {{issuers: [{{name: a, keys: [{CANARY}]}}]}}",
    # Not understood, and still not shown.
    f"auth: {{jwt: {{secret: [{CANARY}]}}}}",
    f"auth: {{api_keys: [{{name: a, key: {{x: {CANARY}}}}}]}}",
    f"auth: {{api_keys: {CANARY}}}",
    f"mcp: {{servers: [{{name: a, command: [x], env: {{A: [{CANARY}]}}}}]}}",
    f"mcp: {{servers: [{{name: a, command: [x], env: {CANARY}}}]}}",
    f"database: {{url: 'postgresql://u:{CANARY}@h/d'}}",
    f"llm: {{rate_limiting: {{requests_per_minute: 'https://u:{CANARY}@h'}}}}",
]


@pytest.mark.parametrize("text", HIDING)
def test_no_secret_is_shown(tmp_path: Path, text: str) -> None:
    key = tmp_path / "canary.key"
    key.write_text(CANARY)
    key.chmod(0o640)  # also what is said of an exposed file
    path = tmp_path / "mantlet.yaml"
    path.write_text(f"environment: development\n{text}\n")
    report = examine([str(path)], {"PASSWORD": CANARY})
    judgement = report.judgement
    said = [
        json.dumps(report.as_json()),
        repr(report),
        *map(str, report.problems),
        *(line.text for line in report.lines),
    ]
    said += [line.key for line in report.lines]
    said += [str(reason) for reason in (*judgement.refused, *judgement.elsewhere)]
    assert not [text for text in said if CANARY in text]


def test_secrets_of_variables_and_options_are_not_shown() -> None:
    environ = {"JWT_SECRET": CANARY, "MANTLET_LLM__API_KEY": CANARY, "VALKEY_URL": f"valkey://:{CANARY}@h"}
    report = examine([], environ, settings={"auth.jwt.issuer": "i"})
    assert report.loaded is not None
    assert CANARY not in json.dumps(report.as_json())
    [line] = [line for line in report.lines if line.key == "auth.jwt.secret"]
    assert (line.value, str(line.origin)) == (MASK, "JWT_SECRET")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("valkey://:pw@h:1/0", f"valkey://:{MASK}@h:1/0"),
        ("https://user:pw@h/x", f"https://user:{MASK}@h/x"),
        ("https://token@h/x", f"https://{MASK}@h/x"),
        ("https://h/x@y", "https://h/x@y"),
        ("https://h", "https://h"),
        ("spiffe://example/agent/a", "spiffe://example/agent/a"),
        ("say x://a:b@c and y://d:e@f", f"say x://a:{MASK}@c and y://d:{MASK}@f"),
    ],
)
def test_passwords_in_urls_are_masked(text: str, masked: str) -> None:
    assert mask_url(text) == masked


@pytest.mark.parametrize(
    ("path", "secret"),
    [
        (("auth", "jwt", "secret"), True),
        (("auth", "jwt", "secret_file"), False),
        (("llm", "api_key"), True),
        (("store", "password"), True),
        (("validation", "max_keys"), False),
        (("llm", "rate_limiting", "tokens_per_minute"), False),
        (("mcp", "servers", 0, "env", "PATH"), True),
        (("auth", "mock", "tokens", "abc"), True),
        (("http", "port"), False),
        ((), False),
    ],
)
def test_keys_tell_what_is_secret(path, secret: bool) -> None:
    assert is_secret_key(path) is secret

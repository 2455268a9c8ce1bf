"""What each environment refuses to start with (CFG-01, spec 2.2)."""

from pathlib import Path

import pytest

from mantlet.listeners.http.config import HttpConfig
from mantlet.listeners.tls.config import TlsConfig
from mantlet.node.check.examine import NOT_UNDERSTOOD, REFUSED, WOULD_START, Report, examine
from mantlet.node.config.model import AdminConfig, Config
from mantlet.node.config.refusals import RISKS, is_loopback, is_wildcard, judge

GOOD = "kJ8x2Vq0ZrT5mWc7LpN4bYh9sDf3GaE6uQiOo1XtRvB"
ENVIRONMENTS = ("development", "staging", "production")

RISKY = [
    # what is written, the risk, the key it is told at, who refuses it ("d", "s", "p")
    ("mcp: {servers: [{name: a, url: 'http://h/mcp'}]}", "plain_upstream", "mcp.servers.a.url", "p"),
    ("mcp: {servers: [{name: a, url: 'HTTP://127.0.0.1/mcp'}]}", "plain_upstream", "mcp.servers.a.url", "p"),
    ("mcp: {servers: [{name: a, url: 'ws://h/mcp'}]}", "plain_upstream", "mcp.servers.a.url", "p"),
    ("mcp: {servers: [{name: a, transport: sse, url: 'http://h'}]}", "plain_upstream", "mcp.servers.a.url", "p"),
    ("mcp: {servers: [{name: a, host: h, port: 1}]}", "plain_upstream", "mcp.servers.a.tls", "p"),
    ("agent: {url: 'http://h'}", "plain_upstream", "agent.url", "p"),
    ("http_upstreams: [{name: x, url: 'http://h'}]", "plain_upstream", "http_upstreams.x", "p"),
    ("remote_agents: [{name: x, agent_card_url: 'http://h'}]", "plain_upstream", "remote_agents.x", "p"),
    ("mcp: {servers: [{name: a, url: 'https://h', forward_identity: passthrough}]}", "passthrough",
     "mcp.servers.a.forward_identity", "sp"),
    ("remote_agents: [{name: x, agent_card_url: 'https://h', ssl_verify: false}]", "no_verification",
     "remote_agents.x.ssl_verify", "sp"),
    ("auth: {jwt: {secret: changeme, issuer: i, audience: a}}", "weak_secret", "auth.jwt.secret", "dsp"),
    (f"auth: {{jwt: {{secret: {GOOD[:31]}, issuer: i, audience: a}}}}", "weak_secret", "auth.jwt.secret", "dsp"),
    ("auth: {jwt: {secret: a-string-secret-at-least-256-bits-long, issuer: i, audience: a}}", "weak_secret",
     "auth.jwt.secret", "dsp"),
    ("auth: {api_keys: [{name: k, key: short}]}", "weak_key", "auth.api_keys.k", "dsp"),
    (f"auth: {{api_keys: [{{name: k, key: {GOOD}}}, {{name: l, key: {GOOD}}}]}}", "weak_key", "auth.api_keys.l", "dsp"),
    (f"auth: {{jwt: {{secret: {GOOD}, audience: a}}}}", "unbound_tokens", "auth.jwt.issuer", "dsp"),
    ("auth: {jwt: {max_token_age: 3601}}", "long_tokens", "auth.jwt.max_token_age", "p"),
    ("auth: {enabled: false}", "auth_off", "auth.enabled", "sp"),
    ("auth: {mock: {tokens: {t: {subject: x}}}}", "mock_tokens", "auth.mock.tokens", "sp"),
    ("http: {cors_origins: ['*']}", "open_cors", "http.cors_origins", "p"),
    ("http: {host: 0.0.0.0}", "plaintext", "http.tls", "p"),
    ("http: {host: gateway.example}", "plaintext", "http.tls", "p"),
    ("auth: {require_https: false}", "plain_issuer", "auth.require_https", "sp"),
    ("auth: {validate: {audience: false}}", "unvalidated_tokens", "auth.validate.audience", "sp"),
    ("auth: {require_https: true, issuers: [{name: i, issuer: 'http://localhost:1', audience: 'https://a.example'}]}",
     "forced", "auth.issuers.i.issuer", "dsp"),
    ("auth: {validate: {introspection: true}, issuers: [{name: i, issuer: 'https://i', audience: 'https://a.example'}]}",
     "forced", "auth.issuers.i.introspection", "dsp"),
    ("inter_agent: {verify_certificates: false}", "no_verification", "inter_agent.verify_certificates", "sp"),
    ("mcp: {servers: [{name: a, url: 'https://h', tls: {verify: false}}]}", "no_verification",
     "mcp.servers.a.tls.verify", "sp"),
    ("inter_agent: {max_token_age: 3601}", "long_tokens", "inter_agent.max_token_age", "p"),
    ("inter_agent: {force_https: false}", "plain_upstream", "inter_agent.force_https", "p"),
    ("inter_agent: {force_https: true}\nmcp: {servers: [{name: a, url: 'http://h'}]}", "forced",
     "mcp.servers.a.url", "dsp"),
    (("inter_agent: {encrypt_forwarded_tokens: true}\nmcp: {servers: [{name: a, url: 'https://h',"
     " forward_identity: passthrough}]}"), "forced", "mcp.servers.a.forward_identity", "dsp"),
    ("debug: true", "debug", "debug", "p"),
    ("limits: {enabled: false}", "limits_off", "limits.enabled", "sp"),
    ("limits: {on_store_failure: open}", "fail_open", "limits.on_store_failure", "p"),
    ("authorization: {default: allow}", "default_allow", "authorization.default", "p"),
    ("mcp: {unknown_methods: allow}", "unknown_methods", "mcp.unknown_methods", "p"),
    ("admin: {host: 0.0.0.0}", "admin_exposed", "admin.host", "p"),
    ("admin: {host: '::'}", "admin_exposed", "admin.host", "p"),
    ("audit: {on_failure: continue}", "audit_gaps", "audit.on_failure", "p"),
    ("store: {url: 'valkey://db:6379/0'}", "open_store", "store.url", "p"),
    ("store: {url: 'valkey://:changeme-please@db:6379/0'}", "open_store", "store.url", "p"),
    ("store: {url: 'valkeys://:short@db:6379/0'}", "open_store", "store.url", "p"),
    ("database: {url: 'postgresql://u@db.example/m?sslmode=disable'}", "plain_database", "database.url", "p"),
    ("database: {url: 'postgresql://u@db.example/m?sslmode=require'}", "no_verification", "database.url", "sp"),
    ("http: {cors_origins: ['https://a.example', 'null']}", "open_cors", "http.cors_origins", "p"),
    ("websocket: {enabled: true, allowed_origins: ['Null']}", "open_cors", "websocket.allowed_origins", "p"),
    ("execution: {dagger: {mount_docker_socket: true}}", "docker_socket", "execution.dagger.mount_docker_socket", "p"),
    ("websocket: {enabled: true, host: 10.1.2.3}", "plaintext", "websocket.tls", "p"),
    ("tcp: {enabled: true, host: 10.1.2.3}", "plaintext", "tcp.tls", "p"),
    ("admin: {host: 10.1.2.3}", "plaintext", "admin.tls", "p"),
    ("llm: {enabled: true}", "not_enforced", "llm", "p"),
    ("p2p: {enabled: true}", "not_enforced", "p2p", "p"),
    ("alerts: [{webhook: x}]", "not_enforced", "alerts", "p"),
    ("backup: {keep: 3}", "not_enforced", "backup", "p"),
    ("mcp: {pins: {mode: first_use}}", "unpinned_tools", "mcp.pins.mode", "p"),
    ("mcp: {pins: {mode: off}}", "unpinned_tools", "mcp.pins.mode", "p"),
    ("validation: {schemas: warn}", "unchecked_arguments", "validation.schemas", "p"),
    ("validation: {schemas: off}", "unchecked_arguments", "validation.schemas", "p"),
    ("http_upstreams: [{name: a, url: 'https://h', forward_identity: passthrough}]", "passthrough",
     "http_upstreams.a.forward_identity", "sp"),
    ("inter_agent: {communication_key: short}", "weak_secret", "inter_agent.communication_key", "dsp"),
    ("telemetry: {otlp_endpoint: 'https://o'}", "not_enforced", "telemetry.otlp_endpoint", "p"),
]  # fmt: skip

SAFE = [
    "",
    "http: {host: 0.0.0.0, trusted_proxies: [10.0.0.0/8]}",
    "http: {host: '::1'}",
    "http: {enabled: false, host: 0.0.0.0}",
    "admin: {enabled: false, host: 0.0.0.0}",
    "admin: {host: '::1'}",
    "store: {url: 'valkey://:j3Kq9-Zt5Wm2@db:6379/0'}",
    "http: {cors_origins: ['https://a.example']}",
    f"auth: {{jwt: {{secret: {GOOD}}}}}\nagent: {{url: 'https://a.example'}}",
    "websocket: {enabled: true}\ntcp: {enabled: true}\nllm: {enabled: false}\np2p: {enabled: false}",
    "cache: {enabled: false}\nalerts: []\nmcp: {pins: {mode: approve}}",
    "auth: {mtls: {enabled: false}, issuers: []}\nremote_agents: []",
]


def look(tmp_path: Path, text: str, environment: str = "production", risks: str = "") -> Report:
    path = tmp_path / "mantlet.yaml"
    path.write_text(f"environment: {environment}\naccept_risks: [{risks}]\n{text}\n")
    return examine([str(path)], {})


@pytest.mark.parametrize(("text", "risk", "key", "refusing"), RISKY, ids=[f"{row[1]}-{row[2]}" for row in RISKY])
def test_each_environment_refuses_what_it_should(tmp_path: Path, text: str, risk: str, key: str, refusing: str) -> None:
    """CFG-01, TOK-12"""
    for environment in ENVIRONMENTS:
        report = look(tmp_path, text, environment)
        found = {(reason.risk, reason.key) for reason in report.judgement.refused}
        assert ((risk, key) in found) is (environment[0] in refusing), environment
        assert report.exit_code == (REFUSED if found else WOULD_START)
        everywhere = (*report.judgement.refused, *report.judgement.elsewhere)
        assert (risk, key) in {(reason.risk, reason.key) for reason in everywhere}


@pytest.mark.parametrize("text", SAFE)
def test_what_is_safe_starts_in_production(tmp_path: Path, text: str) -> None:
    report = look(tmp_path, text)
    assert [str(reason) for reason in report.judgement.refused] == []
    assert report.exit_code == WOULD_START


@pytest.mark.parametrize(("text", "risk", "key", "refusing"), RISKY, ids=[f"{row[1]}-{row[2]}" for row in RISKY])
def test_a_risk_can_be_accepted_by_its_name_and_by_no_other(
    tmp_path, text: str, risk: str, key: str, refusing: str
) -> None:
    other = "docker_socket" if risk != "docker_socket" else "fail_open"
    assert look(tmp_path, text, risks=other).exit_code == REFUSED
    judgement = look(tmp_path, text, risks=risk).judgement
    accepted = {(reason.risk, reason.key) for reason in judgement.accepted}
    assert ((risk, key) in accepted) is RISKS[risk].is_acceptable
    assert ((risk, key) in {(reason.risk, reason.key) for reason in judgement.refused}) is not RISKS[risk].is_acceptable


def test_an_admin_listener_on_the_network_needs_tls_of_its_own(tmp_path: Path) -> None:
    """TLS-04: a proxy in front of the calls' door is none in front of this one."""
    http = HttpConfig(host="10.1.2.3", trusted_proxies=["10.0.0.0/8"])
    for tls, is_refused in ((TlsConfig(), True), (TlsConfig(cert_file="c.pem", key_file="k.pem"), False)):
        config = Config(environment="production", http=http, admin=AdminConfig(host="10.1.2.3", tls=tls))
        reasons = {(reason.risk, reason.key) for reason in judge(config).refused}
        assert (("plaintext", "admin.tls") in reasons) is is_refused


def test_every_reason_is_listed_at_once(tmp_path: Path) -> None:
    """CFG-01"""
    text = "debug: true\nhttp: {host: 0.0.0.0, cors_origins: ['*']}\nlimits: {enabled: false}\nadmin: {host: 0.0.0.0}\n"
    text += "mcp: {servers: [{name: a, url: 'http://h/mcp'}]}\nauth: {jwt: {secret: changeme, issuer: i, audience: a}}"
    risks = {reason.risk for reason in look(tmp_path, text).judgement.refused}
    assert risks == {"debug", "plaintext", "open_cors", "limits_off", "admin_exposed", "plain_upstream", "weak_secret"}


def test_a_secret_open_to_others_is_refused_everywhere(tmp_path: Path) -> None:
    """CFG-04"""
    key = tmp_path / "k.key"
    key.write_text(GOOD)
    for mode, code in [(0o600, WOULD_START), (0o400, WOULD_START), (0o640, REFUSED), (0o604, REFUSED)]:
        key.chmod(mode)
        for environment in ENVIRONMENTS:
            report = look(tmp_path, "auth: {api_keys: [{name: k, key_file: k.key}]}", environment)
            assert report.exit_code == code, (oct(mode), environment)
            assert {reason.risk for reason in report.judgement.refused} <= {"exposed_secret"}


def test_what_is_not_acted_on_is_never_silent(tmp_path: Path) -> None:
    for environment in ENVIRONMENTS:
        report = look(tmp_path, "alerts: [{webhook: x}]\nbackup: {keep: 3}", environment, "not_enforced")
        assert report.inert == ["backup", "alerts"]
        assert report.as_json()["not_acted_on"] == ["backup", "alerts"]


def test_every_risk_has_a_case() -> None:
    assert {row[1] for row in RISKY} | {"exposed_secret"} == set(RISKS)


def test_an_unknown_risk_is_not_understood(tmp_path: Path) -> None:
    assert look(tmp_path, "", risks="everything").exit_code == NOT_UNDERSTOOD


@pytest.mark.parametrize(
    ("host", "wildcard", "loopback"),
    [
        ("0.0.0.0", True, False),
        ("::", True, False),
        ("[::]", True, False),
        ("", True, False),
        ("127.0.0.1", False, True),
        ("127.9.9.9", False, True),
        ("::1", False, True),
        ("localhost", False, True),
        ("localhost.example", False, False),
        ("10.0.0.1", False, False),
    ],
)
def test_addresses_are_told_apart(host: str, wildcard: bool, loopback: bool) -> None:
    assert (is_wildcard(host), is_loopback(host)) == (wildcard, loopback)

"""Wrong configurations: each fault is told with its file, line, key, what was found and the nearest known word."""

from pathlib import Path

import pytest

from mantlet.node.check.examine import NOT_UNDERSTOOD, examine
from mantlet.node.config import ConfigErrors, load

WRONG = [
    # text, line, key, part of the message
    ("http: {prot: 80}", 1, "http.prot", 'unknown key; did you mean "port"?'),
    ("htpp: {port: 80}", 1, "htpp", 'unknown key; did you mean "http"?'),
    ("http:\n  host: h\n  zzz: 1", 3, "http.zzz", "unknown key; allowed: enabled, host, port"),
    ("http: {port: many}", 1, "http.port", "found 'many'; allowed: a whole number ≥ 0 and ≤ 65535"),
    ("http: {port: 70000}", 1, "http.port", "found 70000; allowed: a whole number"),
    ("http: {port: 80.5}", 1, "http.port", "found 80.5"),
    ("http: {port: null}", 1, "http.port", "found nothing (null)"),
    ("http: 80", 1, "http", "found 80; allowed: a mapping"),
    ("http: {enabled: yes}", 1, "http.enabled", "found 'yes'; allowed: true or false"),
    ("http: {host: 12}", 1, "http.host", "found 12; allowed: text"),
    ("http: {allowed_hosts: a.example}", 1, "http.allowed_hosts", "allowed: a list of: text"),
    ("http: {allowed_hosts: [a, 7]}", 1, "http.allowed_hosts[1]", "found 7; allowed: text"),
    ("http: {tls: {cert_file: null, min_version: '1.1'}}", 1, "http.tls.min_version", "allowed: 1.2, 1.3"),
    ("http: {trusted_proxies: [0.0.0.0/0]}", 1, "http", "everybody"),
    ("environment: prod", 1, "environment", 'did you mean "production"?'),
    ("environment: null", 1, "environment", "allowed: development, staging, production"),
    ("audit: {durability: fsnc}", 1, "audit.durability", 'did you mean "fsync"?'),
    ("authorization: {rules: [{name: a, allow: {tool: ['*']}}]}", 1, "authorization.rules[0].allow.tool", '"tools"'),
    ("authorization:\n  rules:\n  - allow: {}", 3, "authorization.rules[0].name", "is missing"),
    ("limits: {tenant: {window: 5}}", 1, "limits.tenant.requests", "is missing; allowed: a whole number"),
    ("mcp: {servers: [{name: a}]}", 1, "mcp.servers[0].transport", "cannot be told; allowed: stdio, http"),
    ("mcp: {servers: [{name: a, transport: sdtio}]}", 1, "mcp.servers[0].transport", 'did you mean "stdio"?'),
    ("mcp: {servers: [{name: a, command: [x], comand: y}]}", 1, "mcp.servers[0].comand", 'did you mean "command"?'),
    ("mcp: {servers: [{name: a, transport: websocket, url: 'https://h'}]}", 1, "mcp.servers[0]", "begin with wss://"),
    ("mcp: {servers: [{name: a, url: 'wss://u:pw@h'}]}", 1, "mcp.servers[0]", "no user or password"),
    ("mcp: {servers: [{name: a, url: 'wss://h', headers: {Upgrade: x}}]}", 1, "mcp.servers[0]", "'Upgrade' cannot be"),
    ("mcp: {servers: [{name: a, url: 'wss://h', headers: {Sec-WebSocket-Key: x}}]}", 1, "mcp.servers[0]", "be set"),
    ("mcp: {servers: [{name: a, host: '[::1]', port: 1}]}", 1, "mcp.servers[0]", "without brackets"),
    ("mcp: {servers: [{name: a, host: h, port: 0}]}", 1, "mcp.servers[0].port", "≥ 1"),
    ("mcp: {servers: [{name: a, host: h, port: 1, server: x}]}", 1, "mcp.servers[0]", "it needs token"),
    ("mcp: {servers: [{name: a, object: server}]}", 1, "mcp.servers[0]", "package.module:attribute"),
    ("mcp: {servers: [{name: a, transport: sse, url: 'https://h', max_connections: 9}]}", 1, "mcp.servers[0]", "above"),
    ("mcp:\n  servers:\n  - {name: a, url: 'https://h'}\n  - {name: a, command: [x]}", 2, "mcp", "two servers"),
    ("mcp: {servers: {a: {}}}", 1, "mcp.servers", "found a mapping; allowed: a list"),
    ("mcp: {pins: {mode: aprove}}", 1, "mcp.pins.mode", 'did you mean "approve"?'),
    ("p2p: {enable_mnds: true}", 1, "p2p.enable_mnds", 'did you mean "enable_mdns"?'),
    ("database: {url: 'mysql://u:pw@h/d'}", 1, "database", "mysql:// is not offered"),
    ("auth: {api_keys: [{name: a, key_file: none.key}]}", 1, "auth.api_keys[0].key_file", "cannot be read: No such"),
    ("auth: {jwt: {secret_file: .}}", 1, "auth.jwt.secret_file", "cannot be read"),
    ("auth: {jwt: {secret_file: empty}}", 1, "auth.jwt.secret_file", "is empty"),
    ("auth: {jwt: {secret: s, secret_file: empty}}", 1, "auth.jwt.secret_file", "stands beside secret"),
    ("auth: {jwt: {jwks_file: a.json}}", 1, "auth.jwt.jwks_file", "No such file"),
    ("agent: {url: '${NOWHERE}'}", 1, "agent.url", "the variable NOWHERE is not set"),
    ("http:\n  port: ${NOWHERE}", 2, "http.port", "the variable NOWHERE is not set"),
    ("agent: {url: '${}'}", 1, "agent.url", "names no variable"),
    ("environments: {prod: {}}", 1, "environments.prod", 'unknown environment; allowed: development, staging'),
    ("environments: {staging: {htpp: {}}}", 1, "environments.staging.htpp", 'did you mean "http"?'),
    ("environments: {production: {environment: staging}}", 1, "environments.production.environment", "cannot stand"),
    ("environments: [a]", 1, "environments", "must be a mapping"),
    ("mcpServers: [a]", 1, "mcpServers", "must be a mapping"),
    ("accept_risks: [fail_opne]", 1, "accept_risks[0]", 'did you mean "fail_open"?'),
    ("a: 1\na: 2", 2, "a", "stands twice; the first is on line 1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "key", "words"), WRONG, ids=[row[2] for row in WRONG])
def test_a_wrong_file_is_told_with_its_place(tmp_path: Path, text: str, line: int, key: str, words: str) -> None:
    """CFG-02: one clear error, and it is not understood."""
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "empty").chmod(0o600)
    path = tmp_path / "mantlet.yaml"
    path.write_text(text)
    report = examine([str(path)], {})
    assert report.exit_code == NOT_UNDERSTOOD
    [problem] = report.problems
    assert (problem.key, problem.origin.where, problem.origin.line) == (key, str(path), line)
    assert words in str(problem)


@pytest.mark.parametrize(
    ("environ", "settings", "words"),
    [
        ({"ENVIRONMENT": "prod"}, {}, 'ENVIRONMENT: environment: wrong value; found \'prod\''),
        ({"MANTLET_HTTP__PROT": "1"}, {}, 'http.prot: unknown key; did you mean "MANTLET_HTTP__PORT"?'),
        ({"MANTLET_HTPP__PORT": "1"}, {}, 'did you mean "MANTLET_HTTP"?'),
        ({"MANTLET_DEBG": "true"}, {}, 'did you mean "MANTLET_DEBUG"?'),
        ({"MANTLET_HTTP__PORT": "many"}, {}, "MANTLET_HTTP__PORT: http.port: wrong value; found 'many'"),
        ({"MANTLET_MCP__SERVERS__3__URL": "u"}, {}, "the list has 0 entries"),
        ({"RATE_LIMIT_ENABLED": "maybe"}, {}, "RATE_LIMIT_ENABLED: limits.enabled: wrong value; found 'maybe'"),
        ({"RATE_LIMIT_WINDOW_MS": "1s"}, {}, "allowed: a whole number of milliseconds"),
        ({"RATE_LIMIT_MAX_REQUESTS": "-1"}, {}, "found -1"),
        ({"BEARER_TOKEN_VALIDATION": "none"}, {}, "allowed: valid, jwt"),
        ({"JWT_SECRET_FILE": "/nowhere/at/all"}, {}, "JWT_SECRET_FILE names cannot be read"),
        ({}, {"http.prot": "1"}, 'did you mean "http.port"?'),
        ({}, {"http.port": "x"}, "--set http.port: http.port: wrong value"),
    ],
)  # fmt: skip
def test_a_wrong_variable_or_option_is_told_by_its_name(environ, settings, words: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load([], environ, settings=settings)
    assert len(caught.value.problems) == 1
    assert words in str(caught.value)


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("http: {prot: 1, port: x}\nauth: {jwt: {secret_file: none}}\nagent: {url: '${NOWHERE}'}\n")
    two.write_text("audit: {durability: never}\nenvironments: {staging: {x: 1}}\n")
    with pytest.raises(ConfigErrors) as caught:
        load([str(one), str(two)], {"MANTLET_X__Y": "1"})
    keys = {problem.key for problem in caught.value.problems}
    assert keys == {
        "http.prot", "http.port", "auth.jwt.secret_file", "agent.url", "audit.durability",
        "environments.staging.x", "x",
    }  # fmt: skip


def test_a_file_that_is_missing_is_named() -> None:
    report = examine(["no-such.yaml"], {})
    assert report.exit_code == NOT_UNDERSTOOD
    assert "no-such.yaml: cannot be read: No such file or directory; `mantlet init` writes one" in str(
        report.problems[0]
    )

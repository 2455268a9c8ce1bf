"""Files and variables of existing systems work as they are, each value seen where it landed (spec 2.3)."""

from pathlib import Path

import pytest

from mantlet.node.check.examine import REFUSED, examine
from mantlet.node.config import ConfigErrors, load
from mantlet.node.config.effective import effective
from mantlet.node.identity.door_keys import auth_of

FILES = Path(__file__).parent / "foreign"
SECRETS = {"OPENAI_API_KEY": "sk-example-not-a-key", "DOCS_TOKEN": "example-token"}


def landed(*names: str, environ: dict[str, str] | None = None) -> dict[str, tuple[object, str]]:
    """What `mantlet check` shows: key to (value, origin)."""
    loaded = load([str(FILES / name) for name in names], SECRETS | (environ or {}))
    return {line.key: (line.value, str(line.origin)) for line in effective(loaded)}


AGENT = {
    "agent.name": ("research-agent", 3),
    "agent.version": ("2.3.1", 4),
    "agent.url": ("https://agents.example.com", 6),
    "agent.max_concurrent_tasks": (12, 8),
    "agent.task_timeout": (600, 9),
    "p2p.enabled": (True, 11),
    "p2p.rendezvous": ("research-agents", 14),
    "p2p.enable_relay": (False, 17),
    "p2p.bootstrap_nodes": (["/ip4/10.1.2.3/tcp/4001/p2p/12D3KooWExample"], 19),
    "p2p.security.noise_enabled": (True, 20),
    "p2p.max_peer_connections": (64, 21),
    "http.cors_origins": (["https://console.example.com"], 22),
    "http.max_connections": (250, 22),
    "http.request_timeout": (45, 22),
    "websocket.path": ("/ws/workflow", 23),
    "websocket.max_connections": (120, 23),
    "mcp.servers[0].command": (["npx", "-y", "@modelcontextprotocol/server-filesystem", "/srv/data"], 28),
    "mcp.servers[1].url": ("https://docs.example.com/mcp", 31),
    "mcp.limits.max_concurrent_requests": (50, 32),
    "mcp.limits.request_timeout_ms": (30000, 32),
    "llm.model": ("gpt-4o", 37),
    "llm.rate_limiting.tokens_per_minute": (500000, 38),
    "execution.default_engine": ("dagger", 40),
    "execution.dagger.mount_docker_socket": (True, 41),
    "execution.dagger.resource_limits.cpu": ("4000m", 41),
    "logging.level": ("INFO", 42),
    "logging.enable_file": (True, 42),
    "environment": ("development", 43),
    "debug": (True, 44),
}


def test_the_node_file_lands_value_by_value() -> None:
    shown = landed("agent.yaml")
    for key, (value, line) in AGENT.items():
        assert shown[key][0] == value, key
        assert shown[key][1].endswith(f"agent.yaml:{line}"), key
    assert "sk-example" not in str(shown["llm.api_key"][0])


OAUTH = {
    "development": (False, False, False, False, False, False, 86400, False),
    "staging": (True, True, False, False, True, True, 7200, True),
    "production": (True, True, True, True, True, True, 1800, True),
}
KEYS = (
    "auth.require_https",
    "auth.validate.issuer",
    "auth.validate.audience",
    "auth.validate.introspection",
    "inter_agent.force_https",
    "inter_agent.verify_certificates",
    "inter_agent.max_token_age",
    "inter_agent.encrypt_forwarded_tokens",
)


@pytest.mark.parametrize("environment", OAUTH)
def test_the_oauth_file_lands_by_environment(environment: str) -> None:
    shown = landed("oauth_config.yaml", environ={"ENVIRONMENT": environment})
    assert tuple(shown[key][0] for key in KEYS) == OAUTH[environment]
    assert all("oauth_config.yaml" in shown[key][1] and "overlay" in shown[key][1] for key in KEYS)


def test_what_the_oauth_file_relaxes_is_refused_outside_development(tmp_path: Path) -> None:
    """CFG-01"""
    text = (FILES / "oauth_config.yaml").read_text()
    relaxed = text.partition("  staging:")[0].replace("  development:", "  production:")
    (tmp_path / "oauth_config.yaml").write_text(relaxed)
    report = examine([str(tmp_path / "oauth_config.yaml")], {"ENVIRONMENT": "production"})
    assert report.exit_code == REFUSED
    refused = {reason.key for reason in report.judgement.refused}
    assert set(KEYS) - {"inter_agent.encrypt_forwarded_tokens"} <= refused


def test_a_misspelt_key_of_the_oauth_file_is_named_with_its_line(tmp_path: Path) -> None:
    """CFG-02"""
    (tmp_path / "o.yaml").write_text("environments:\n  production:\n    oauth:\n      require_htps: true\n")
    with pytest.raises(ConfigErrors) as caught:
        load([str(tmp_path / "o.yaml")], {})
    [problem] = caught.value.problems
    assert (problem.key, problem.origin.line, problem.nearest) == ("oauth.require_htps", 4, "require_https")


def test_remote_agents_land_as_written() -> None:
    shown = landed("remote_agents.yaml", environ={"ENVIRONMENT": "development"})
    assert shown["remote_agents[0].agent_card_url"][0] == "https://planner.example.com"
    assert shown["remote_agents[1].ssl_verify"][0] is False
    assert shown["remote_agents[1].enabled"][1].endswith("remote_agents.yaml:11")


def test_the_servers_of_an_mcp_client_land() -> None:
    shown = landed("mcp_client.json")
    assert shown["mcp.servers[0].command"][0] == ["uvx", "mcp-server-time", "--local-timezone=UTC"]
    assert shown["mcp.servers[1].transport"][0] == "http"
    assert shown["mcp.servers[2].name"][0] == "GitHub-Tools"


VARIABLES = [
    ("ENVIRONMENT", "staging", "environment", "staging"),
    ("RATE_LIMIT_ENABLED", "false", "limits.enabled", False),
    ("RATE_LIMIT_WINDOW_MS", "30000", "limits.client.window", 30),
    ("RATE_LIMIT_MAX_REQUESTS", "7", "limits.client.requests", 7),
    ("RATE_LIMIT_CLIENT_MAX", "8", "limits.client.requests", 8),
    ("RATE_LIMIT_CLIENT_WINDOW", "9", "limits.client.window", 9),
    ("RATE_LIMIT_GLOBAL_MAX", "70", "limits.global.requests", 70),
    ("RATE_LIMIT_GLOBAL_WINDOW", "90", "limits.global.window", 90),
    ("WS_MAX_CONNECTIONS", "11", "websocket.max_connections", 11),
    ("TCP_MAX_CONNECTIONS", "12", "tcp.max_connections", 12),
    ("WS_CONNECTION_TIMEOUT", "300000", "websocket.idle_timeout", 300),
    (
        "CORS_ALLOWED_ORIGINS",
        "https://a.example,https://b.example",
        "http.cors_origins",
        ["https://a.example", "https://b.example"],
    ),
    ("SSL_ENABLED", "false", "http.tls.enabled", False),
    ("OAUTH_REQUIRE_HTTPS", "true", "auth.require_https", True),
    ("FORCE_AGENT_HTTPS", "true", "inter_agent.force_https", True),
    ("VERIFY_CERTIFICATES", "false", "inter_agent.verify_certificates", False),
    ("BEARER_TOKEN_VALIDATION", "valid", "auth.mock.tokens.********1.subject", "valid"),
    ("VALKEY_URL", "valkey://store.internal:6379/0", "store.url", "valkey://store.internal:6379/0"),
    ("VALKEY_MAXMEMORY", "256mb", "store.max_memory_bytes", 256 * 1024 * 1024),
    ("VALKEY_MAXMEMORY_POLICY", "noeviction", "store.max_memory_policy", "noeviction"),
    ("ENABLE_CACHE", "true", "cache.enabled", True),
]


@pytest.mark.parametrize(("name", "text", "key", "value"), VARIABLES)
def test_a_variable_lands_and_is_named_as_the_origin(name: str, text: str, key: str, value: object) -> None:
    shown = landed(environ={name: text})
    assert shown[key][0] == value
    assert name in shown[key][1]


def test_the_password_of_the_store_is_taken_and_not_shown() -> None:
    environ = {"VALKEY_URL": "valkey://store.internal:6379/0", "VALKEY_PASSWORD": "p@ss/wort:9-7q"}
    loaded = load([], environ)
    assert loaded.config.store.full_url == "valkey://store.internal:6379/0"
    assert loaded.config.store.access.current_password() == "p@ss/wort:9-7q"
    assert "p@ss" not in str([(line.key, line.text) for line in effective(loaded)])
    assert "open_store" not in {reason.risk for reason in examine([], environ).judgement.refused}


def test_cors_disabled_takes_every_origin_away() -> None:
    assert load([str(FILES / "agent.yaml")], SECRETS | {"CORS_ENABLED": "false"}).config.http.cors_origins == ()


def test_ssl_without_a_certificate_is_an_error_not_plain_text() -> None:
    with pytest.raises(ConfigErrors, match="cert_file"):
        load([], {"SSL_ENABLED": "true"})


def test_client_certificates_and_verification_reach_every_server(tmp_path: Path) -> None:
    """TLS-04"""
    for name in ("client.pem", "client.key"):
        (tmp_path / name).write_text("-")
        (tmp_path / name).chmod(0o600)
    environ = SECRETS | {
        "CLIENT_CERT_PATH": str(tmp_path / "client.pem"),
        "CLIENT_KEY_PATH": str(tmp_path / "client.key"),
        "VERIFY_CERTIFICATES": "false",
    }
    tls = load([str(FILES / "agent.yaml")], environ).config.mcp.servers[1].tls  # type: ignore[union-attr]
    assert (tls.client_cert_file, tls.verify) == (str(tmp_path / "client.pem"), False)


def test_https_that_is_forced_is_forced_in_development_too(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("mcp: {servers: [{name: a, url: 'http://localhost:1/mcp'}]}\n")
    environ = {"ENVIRONMENT": "development", "FORCE_AGENT_HTTPS": "true"}
    report = examine([str(tmp_path / "m.yaml")], environ)
    assert [(reason.risk, reason.key) for reason in report.judgement.refused] == [("forced", "mcp.servers.a.url")]


def test_the_doors_own_tokens_are_keys_of_these_doors() -> None:
    tokens = {"WS_AUTH_TOKEN": "kJ8x2Vq0ZrT5mWc7LpN4bYh9sDf3GaE6", "TCP_AUTH_TOKEN": "Xo1tRvBkJ8x2Vq0ZrT5mWc7LpN4bYh9s"}
    config = load([], {"ENVIRONMENT": "development", **tokens}).config
    keys = auth_of(config).api_keys
    assert [(key.name, key.doors, key.roles) for key in keys] == [
        ("websocket", ("websocket",), ()),
        ("tcp", ("tcp",), ()),
    ]
    assert [key.key and key.key.reveal() for key in keys] == list(tokens.values())
    assert auth_of(load([], {"ENVIRONMENT": "development"}).config).api_keys == ()


@pytest.mark.parametrize("name", ["WS_AUTH_TOKEN", "TCP_AUTH_TOKEN"])
def test_a_weak_token_of_a_door_is_refused(name: str) -> None:
    """CFG-04"""
    report = examine([], {"ENVIRONMENT": "development", name: "secret"})
    door = "websocket" if name.startswith("WS") else "tcp"
    assert [(reason.risk, reason.key) for reason in report.judgement.refused] == [("weak_key", f"{door}.auth_token")]


@pytest.mark.parametrize("value", ["false", "0", "maybe"])
def test_one_door_without_authentication_there_is_not(value: str) -> None:
    """AUTHN-02"""
    (problem,) = examine([], {"ENVIRONMENT": "development", "WS_AUTH_ENABLED": value}).problems
    assert "auth.enabled: false" in problem.allowed

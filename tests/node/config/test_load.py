"""Where a value comes from, and which one wins (spec 2.1, 2.2, 2.3)."""

from pathlib import Path

import pytest

from mantlet.core.api_key import PREFIX
from mantlet.node.config import Config, ConfigErrors, load
from mantlet.node.config.effective import effective
from mantlet.node.config.starter import new_api_key
from mantlet.upstreams.transports.http.config import HttpServerConfig
from mantlet.upstreams.transports.stdio.config import StdioServerConfig

GOOD_SECRET = "kJ8x2Vq0ZrT5mWc7LpN4bYh9sDf3GaE6uQiOo1XtRvB"


def put(folder: Path, text: str, name: str = "mantlet.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def secret(folder: Path, text: str = GOOD_SECRET, name: str = "a.key", mode: int = 0o600) -> Path:
    path = folder / name
    path.write_text(text + "\n")
    path.chmod(mode)
    return path


def test_nothing_given_means_defaults_and_production() -> None:
    """CFG-02"""
    loaded = load([], {})
    assert loaded.config.environment == "production"
    assert {str(line.origin) for line in effective(loaded)} == {"default"}


LAYERS = [
    ((), 100, "default"),
    (("file",), 1, "one.yaml:2"),
    (("file", "later"), 2, "two.yaml:1"),
    (("file", "later", "overlay"), 3, "one.yaml:4 (overlay)"),
    (("file", "later", "overlay", "plain"), 4, "RATE_LIMIT_CLIENT_MAX"),
    (("file", "later", "overlay", "plain", "own"), 5, "MANTLET_LIMITS__CLIENT__REQUESTS"),
    (("file", "later", "overlay", "plain", "own", "line"), 6, "--set limits.client.requests"),
    (("overlay",), 3, "one.yaml:4 (overlay)"),
    (("file", "own"), 5, "MANTLET_LIMITS__CLIENT__REQUESTS"),
    (("later", "line"), 6, "--set limits.client.requests"),
]


@pytest.mark.parametrize(("given", "value", "origin"), LAYERS)
def test_the_higher_layer_wins_and_is_named(tmp_path: Path, given: tuple[str, ...], value: int, origin: str) -> None:
    one = "environment: staging\n"
    one += "limits: {client: {requests: 1}}\n" if "file" in given else "\n"
    one += "environments:\n  staging: {limits: {client: {requests: 3}}}\n" if "overlay" in given else ""
    two = "limits: {client: {requests: 2}}\n" if "later" in given else ""
    environ = {"RATE_LIMIT_CLIENT_MAX": "4"} if "plain" in given else {}
    environ |= {"MANTLET_LIMITS__CLIENT__REQUESTS": "5"} if "own" in given else {}
    settings = {"limits.client.requests": "6"} if "line" in given else {}
    loaded = load([put(tmp_path, one, "one.yaml"), put(tmp_path, two, "two.yaml")], environ, settings=settings)
    assert loaded.config.limits.client.requests == value
    [line] = [line for line in effective(loaded) if line.key == "limits.client.requests"]
    assert str(line.origin).removeprefix(f"{tmp_path}/") == origin


@pytest.mark.parametrize(
    ("text", "environ", "settings", "environment"),
    [
        ("", {}, {}, "production"),
        ("environment: development", {}, {}, "development"),
        ("environment: development", {"ENVIRONMENT": "staging"}, {}, "staging"),
        ("", {"ENVIRONMENT": "staging", "MANTLET_ENVIRONMENT": "development"}, {}, "development"),
        ("", {"ENVIRONMENT": "staging"}, {"environment": "production"}, "production"),
        ("environment: ${WHERE}", {"WHERE": "staging"}, {}, "staging"),
        ("", {"ENVIRONMENT": ""}, {}, "production"),
    ],
)
def test_the_environment_is_known_before_its_overlay(tmp_path, text, environ, settings, environment) -> None:
    overlays = "".join(
        f"  {name}: {{agent: {{name: of-{name}}}}}\n" for name in ("development", "staging", "production")
    )
    config = load([put(tmp_path, f"{text}\nenvironments:\n{overlays}")], environ, settings=settings).config
    assert (config.environment, config.agent.name) == (environment, f"of-{environment}")


def test_mappings_are_joined_and_lists_replaced(tmp_path: Path) -> None:
    one = put(tmp_path, "http: {port: 1, allowed_hosts: [a.example, b.example]}", "one.yaml")
    two = put(tmp_path, "[http]\nallowed_hosts = ['c.example']", "two.toml")
    http = load([one, two], {}).config.http
    assert (http.port, http.allowed_hosts) == (1, ("c.example",))


def test_a_part_of_a_section_keeps_the_rest_of_its_default(tmp_path: Path) -> None:
    config = load([put(tmp_path, "limits: {global: {window: 30}, burst: null}")], {}).config
    assert (config.limits.all.requests, config.limits.all.window, config.limits.burst) == (1000, 30, None)


@pytest.mark.parametrize(
    ("written", "environ", "read"),
    [
        ("${NAME}", {"NAME": "edge"}, "edge"),
        ("${NAME:-edge}", {}, "edge"),
        ("${NAME:-edge}", {"NAME": ""}, "edge"),
        ("${NAME:-}", {}, ""),
        ("a-${NAME}-${NAME}-z", {"NAME": "1"}, "a-1-1-z"),
        ("${NAME}", {"NAME": "0042"}, "0042"),
        ("${NAME}", {"NAME": "true"}, "true"),
        ("${NAME}", {"NAME": "${OTHER}", "OTHER": "x"}, "${OTHER}"),
        ("$${NAME}", {}, "${NAME}"),
        ("$5 and $NAME", {"NAME": "x"}, "$5 and $NAME"),
    ],
)
def test_variables_expand_once(tmp_path: Path, written: str, environ: dict[str, str], read: str) -> None:
    assert load([put(tmp_path, f'agent: {{name: "{written}"}}')], environ).config.agent.name == read


def test_a_variable_takes_the_type_of_its_place(tmp_path: Path) -> None:
    file = put(tmp_path, 'debug: ${D}\nhttp: {port: "${P:-9000}", cors_origins: "${O}", request_timeout: "${T}"}')
    config = load([file], {"D": "true", "O": "https://a.example, https://b.example", "T": "2.5"}).config
    assert (config.debug, config.http.port, config.http.request_timeout) == (True, 9000, 2.5)
    assert config.http.cors_origins == ("https://a.example", "https://b.example")


def test_a_variable_can_come_from_a_file(tmp_path: Path) -> None:
    path = secret(tmp_path, "pa55word")
    file = put(tmp_path, 'store: {url: "valkey://:${VALKEY_PASSWORD}@db:6379/0"}')
    assert load([file], {"VALKEY_PASSWORD_FILE": str(path)}).config.store.url == "valkey://:pa55word@db:6379/0"


def test_what_is_switched_off_needs_neither_variables_nor_files(tmp_path: Path) -> None:
    file = put(
        tmp_path,
        'llm: {enabled: false, api_key: "${NOT_SET}"}\np2p: {enabled: false, security: {network_key_file: none}}',
    )
    assert load([file], {}).config.llm is not None


@pytest.mark.parametrize(
    ("environ", "path", "value"),
    [
        ({"RATE_LIMIT_ENABLED": "false"}, "limits.enabled", False),
        ({"RATE_LIMIT_MAX_REQUESTS": "7"}, "limits.client.requests", 7),
        ({"RATE_LIMIT_WINDOW_MS": "90500"}, "limits.client.window", 90.5),
        ({"WS_MAX_CONNECTIONS": "70"}, "websocket.max_connections", 70),
        ({"TCP_MAX_CONNECTIONS": "7"}, "tcp.max_connections", 7),
        ({"WS_CONNECTION_TIMEOUT": "300"}, "websocket.idle_timeout", 300),
        ({"WS_CONNECTION_TIMEOUT": "300000"}, "websocket.idle_timeout", 300),
        ({"RATE_LIMIT_MAX_REQUESTS": "7", "RATE_LIMIT_CLIENT_MAX": "8"}, "limits.client.requests", 8),
        ({"RATE_LIMIT_CLIENT_WINDOW": "5"}, "limits.client.window", 5),
        ({"RATE_LIMIT_GLOBAL_MAX": "70"}, "limits.all.requests", 70),
        ({"RATE_LIMIT_GLOBAL_WINDOW": "50"}, "limits.all.window", 50),
        ({"VALKEY_URL": "valkey://:p@h/0"}, "store.url", "valkey://:p@h/0"),
        ({"CORS_ALLOWED_ORIGINS": "https://a.example,https://b.example"}, "http.cors_origins",
         ("https://a.example", "https://b.example")),
        ({"MANTLET_HTTP__PORT": "9000"}, "http.port", 9000),
        ({"MANTLET_DEBUG": "true"}, "debug", True),
        ({"MANTLET_HTTP__ALLOWED_HOSTS": '["a.example"]'}, "http.allowed_hosts", ("a.example",)),
        ({"MANTLET_AGENT__NAME": "8000"}, "agent.name", "8000"),
        ({"MANTLET_HTTP__PORT": ""}, "http.port", 8000),
        ({"MANTLET_URL": "https://x", "MANTLET_TOKEN": "t"}, "http.port", 8000),
        ({"MANTLET_SERVICE_HOST": "10.0.0.1", "MANTLET_PORT_8000_TCP": "tcp://10.0.0.1:8000", "MANTLET_PORT": "x",
          "MANTLET_ADMIN_SERVICE_PORT_HTTP": "1"}, "http.port", 8000),
    ],
)  # fmt: skip
def test_environment_variables_set_their_keys(environ: dict[str, str], path: str, value: object) -> None:
    found: object = load([], environ).config
    for name in path.split("."):
        found = getattr(found, name)
    assert found == value


def test_variables_reach_into_lists_and_free_mappings(tmp_path: Path) -> None:
    file = put(tmp_path, "mcp: {servers: [{name: a, command: [x], env: {A: one}}]}")
    environ = {"MANTLET_MCP__SERVERS__0__ENV__Api_Key": "42", "MANTLET_MCP__SERVERS__0__MAX_CHILDREN": "3"}
    [server] = load([file], environ).config.mcp.servers
    assert isinstance(server, StdioServerConfig)
    assert (server.env, server.max_children) == ({"A": "one", "Api_Key": "42"}, 3)


def test_jwt_secret_and_mock_tokens_come_from_their_old_names() -> None:
    config = load(
        [], {"JWT_SECRET": GOOD_SECRET, "BEARER_TOKEN_VALIDATION": "valid", "ENVIRONMENT": "development"}
    ).config
    assert config.auth.jwt.secret is not None
    assert config.auth.jwt.secret.reveal() == GOOD_SECRET
    assert set(config.auth.mock.tokens) == {"valid"}
    assert not load([], {"BEARER_TOKEN_VALIDATION": "jwt"}).config.auth.mock.tokens


def test_paths_lie_by_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    secret(tmp_path / "site")
    base = put(tmp_path, "audit: {path: ./trail}")
    site = put(tmp_path / "site", "auth: {api_keys: [{name: a, key_file: a.key}]}\nlogging: {file_path: ../log/x.log}")
    config = load([base, site], {}).config
    assert config.audit.path == f"{tmp_path}/trail"
    assert config.logging.file_path == f"{tmp_path}/log/x.log"
    assert str(config.database.path) == f"{tmp_path}/var/mantlet.db"
    assert config.auth.api_keys[0].key is not None
    assert config.auth.api_keys[0].key.reveal() == GOOD_SECRET


def test_the_files_that_are_named_are_known(tmp_path: Path) -> None:
    """A change of one of them is a change of the configuration (spec 2.4)."""
    secret(tmp_path)
    (tmp_path / "keys.json").write_text("{}")
    text = "auth: {api_keys: [{name: a, key_file: a.key}], jwt: {jwks_file: keys.json}}"
    loaded = load([put(tmp_path, text)], {})
    assert set(loaded.named) == {f"{tmp_path}/a.key", f"{tmp_path}/keys.json"}


def test_servers_need_not_name_their_transport(tmp_path: Path) -> None:
    file = put(tmp_path, "mcp: {servers: [{name: a, url: 'https://a.example/mcp'}, {name: b, command: [x, '-y']}]}")
    a, b = load([file], {}).config.mcp.servers
    assert isinstance(a, HttpServerConfig)
    assert isinstance(b, StdioServerConfig)


def test_the_servers_of_an_mcp_client_are_taken_as_they_are(tmp_path: Path) -> None:
    text = (
        '{"mcpServers": {"my time": {"command": "uvx", "args": ["time", "--utc"], "env": {"A": "1"}}, '
        '"docs": {"type": "streamable-http", "url": "https://d.example/mcp", "headers": {"X-Key": "k"}}}}'
    )
    time, docs = load([put(tmp_path, text, "mcp.json")], {}).config.mcp.servers
    assert isinstance(time, StdioServerConfig)
    assert (time.name, time.command, time.env) == ("my-time", ["uvx", "time", "--utc"], {"A": "1"})
    assert isinstance(docs, HttpServerConfig)
    assert docs.headers["X-Key"].reveal() == "k"


def test_a_secret_file_that_others_can_read_is_told(tmp_path: Path) -> None:
    """CFG-04"""
    secret(tmp_path, mode=0o640)
    loaded = load([put(tmp_path, "auth: {api_keys: [{name: a, key_file: a.key}]}")], {})
    [problem] = loaded.exposed
    assert "its group (mode 0640)" in problem.message
    assert problem.key == "auth.api_keys[0].key_file"


def test_a_public_key_may_be_read_by_all_and_a_private_one_not(tmp_path: Path) -> None:
    pem = "-----BEGIN {0} KEY-----\nMCowBQYDK2VwAyEA\n-----END {0} KEY-----"
    for kind, count in [("PUBLIC", 0), ("PRIVATE", 1)]:
        secret(tmp_path, pem.format(kind), "jwt.pem", 0o644)
        loaded = load([put(tmp_path, "auth: {jwt: {key_file: jwt.pem}}")], {})
        assert len(loaded.exposed) == count, kind


def test_the_example_is_understood_whole(tmp_path: Path) -> None:
    """The names of the promised configuration."""
    (tmp_path / "secrets").mkdir()
    secret(tmp_path / "secrets", new_api_key(), "ci.key")
    file = put(tmp_path, (Path(__file__).parent / "example.yaml").read_text())
    loaded = load([file], {})
    config: Config = loaded.config
    assert config.environment == "development"
    assert [server.name for server in config.mcp.servers] == ["time", "docs"]
    assert config.auth.api_keys[0].key is not None
    assert config.auth.api_keys[0].key.reveal().startswith(PREFIX)
    assert config.validation.filters.personal_data == "off"
    assert config.limits.routes[0].match.tool == "optimizer__*"


def test_a_bad_file_among_good_ones_is_still_told(tmp_path: Path) -> None:
    good, bad = put(tmp_path, "htp: {}", "good.yaml"), put(tmp_path, "a: [", "bad.yaml")
    with pytest.raises(ConfigErrors) as caught:
        load([good, bad], {})
    assert {Path(problem.origin.where).name for problem in caught.value.problems} == {"good.yaml", "bad.yaml"}

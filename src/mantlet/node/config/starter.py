"""What `mantlet init` writes: a commented configuration for one environment, and fresh secrets beside it.

Everything is thought out first and written last: nothing is overwritten unless that was asked for, and a write that
fails half way leaves whole files only.
"""

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mantlet.core.api_key import ALPHABET, ID_LENGTH, PREFIX, SECRET_LENGTH
from mantlet.core.config_error import ConfigError
from mantlet.node.config.foreign import server_name, servers_of
from mantlet.node.config.model import Environment

CONFIG_NAME: Final = "mantlet.yaml"
SECRETS_FOLDER: Final = "secrets"
ADMIN_KEY: Final = "admin.key"
PRIVATE_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class Starter:
    """What is to be written, by path; secrets in files of their owner alone."""

    config: Path
    text: str
    secret_files: Mapping[Path, str]

    def __repr__(self) -> str:
        return f"Starter({self.config}, {sorted(map(str, self.secret_files))})"


def starter(folder: Path, environment: Environment, servers: Sequence[Mapping[str, Any]] = ()) -> Starter:
    """A configuration for `folder`. Secrets are new at each call."""
    text = _TEMPLATE.format(
        environment=environment,
        notes=_NOTES[environment],
        limits=_LIMITS[environment],
        servers=_servers_text(servers),
        pins=_PINS[environment],
        filters=_FILTERS[environment],
    )
    secret = folder / SECRETS_FOLDER
    # The second keeps a repository from taking up the first, whatever is added later.
    return Starter(folder / CONFIG_NAME, text, {secret / ADMIN_KEY: new_api_key(), secret / ".gitignore": "*"})


def write(plan: Starter, *, force: bool = False) -> list[Path]:
    """Write the files; gives their paths. Raises `ConfigError` when one is there already and `force` is not given.

    Secrets that are there are kept even with `force`: clients hold them.
    """
    if os.path.lexists(plan.config) and not force:
        raise ConfigError(str(plan.config), "is there already", "`--force` writes it anew; secrets are kept")
    written: list[Path] = []
    try:
        plan.config.parent.mkdir(parents=True, exist_ok=True)
        for path, text in plan.secret_files.items():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            if not path.exists():
                put(path, text + "\n", PRIVATE_MODE)
                written.append(path)
        put(plan.config, plan.text, 0o644)
        written.append(plan.config)
    except OSError as error:
        raise ConfigError(str(error.filename or plan.config), f"cannot be written: {error.strerror}") from error
    return written


def new_api_key() -> str:
    """A fresh API key with 256 bits in its secret part."""
    identity = "".join(secrets.choice(ALPHABET) for _ in range(ID_LENGTH))
    return f"{PREFIX}{identity}_" + "".join(secrets.choice(ALPHABET) for _ in range(SECRET_LENGTH))


def imported(file: Path) -> list[dict[str, Any]]:
    """The servers of an MCP client's `mcpServers` file, as `mcp.servers` writes them. Raises `ConfigError`."""
    try:
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise ConfigError(str(file), f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(str(file), f"is not JSON: {error}") from error
    servers = servers_of(document)
    if servers is None:
        raise ConfigError(str(file), "has no mcpServers object", '{"mcpServers": {"name": {"command": "…"}}}')
    return [_server(name, server) for name, server in servers.items() if isinstance(server, dict)]


def _server(name: str, server: Mapping[str, Any]) -> dict[str, Any]:
    own: dict[str, Any] = {"name": server_name(name)}
    if "url" in server:
        own |= {"transport": "http", "url": server["url"]}
        if headers := server.get("headers"):
            own["headers"] = headers
    else:
        own |= {"transport": "stdio", "command": [server.get("command", ""), *server.get("args", [])]}
        own |= {key: server[key] for key in ("env", "cwd") if server.get(key)}
    return own


def put(path: Path, text: str, mode: int) -> None:
    """Write beside and rename: whoever reads sees the old file or the new one, whole, and never with a wider mode.

    A link that is there is replaced and never followed. Raises `OSError`.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        beside.rename(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def _servers_text(servers: Sequence[Mapping[str, Any]]) -> str:
    if not servers:
        return _NO_SERVERS
    # JSON is YAML: values out of a foreign file are quoted whatever they hold. `$${` keeps them from being expanded.
    lines = [f"    - {json.dumps(server, ensure_ascii=False)}".replace("${", "$${") for server in servers]
    return "  servers:\n" + "\n".join(lines)


_NO_SERVERS: Final = """\
  servers: []
  # servers:
  #   - {name: time, command: [python, -m, mcp_server_time]}          # a child of the node, over stdio
  #   - {name: docs, url: "https://docs.internal/mcp"}                # over streamable HTTP"""

_NOTES: Final[Mapping[Environment, str]] = {
    "development": "development: http:// upstreams and plain bindings are allowed. Not for anybody else's data.",
    "staging": "staging: as strict as production about identity, limits and secrets.",
    "production": "production: refuses to start with anything weak; `mantlet check` lists every reason.",
}
_LIMITS: Final[Mapping[Environment, str]] = {
    "development": "{requests: 1000, window: 60}",
    "staging": "{requests: 100, window: 60}",
    "production": "{requests: 100, window: 60}",
}
_APPROVED: Final = """\
  # What servers say of their tools is shown once it is approved: `mantlet pins check --write` writes this file.
  pins: {mode: approve, file: ./mantlet.lock}"""
_PINS: Final[Mapping[Environment, str]] = {
    "development": "  # pins: {mode: first_use}     # hold servers to what they said of their tools first",
    "staging": _APPROVED,
    "production": _APPROVED,
}
_GUARDED: Final = """\
{script: block, null_bytes: block, secrets: redact, traversal: log, sql: log, shell: log, prompt_injection: log,
    hidden: log}"""
_FILTERS: Final[Mapping[Environment, str]] = {
    "development": "{script: log, traversal: log, sql: log, shell: log, secrets: log, prompt_injection: log}",
    "staging": _GUARDED,
    "production": _GUARDED,
}
_TEMPLATE: Final = """\
# Mantlet's configuration. Every key is optional; `mantlet check` shows the effective value of each and where it came
# from, docs/configuration.md explains them all. Durations are seconds, sizes bytes. Paths lie by this file.
# ${{VAR}} and ${{VAR:-default}} are expanded; MANTLET_HTTP__PORT=9000 in the environment sets http.port.

# {notes}
environment: {environment}

agent:
  name: mantlet
  # url: https://agents.example.com     # the public URL of this node

# The door for clients: /mcp is all servers as one, /mcp/NAME one of them.
http:
  host: 127.0.0.1
  port: 8000
  # To listen on a network, either give a certificate ...
  # tls: {{cert_file: ./secrets/tls.crt, key_file: ./secrets/tls.key}}
  # ... or name the proxy that terminates TLS in front of this node:
  # trusted_proxies: [10.0.0.0/8]
  # cors_origins: [https://app.example.com]

# Health, metrics and the admin API. Loopback only.
admin:
  host: 127.0.0.1
  port: 9501

# Who may come in. The key below is for the first administrator; `mantlet keys create` makes more.
auth:
  api_keys:
    - {{name: admin, key_file: ./secrets/admin.key, roles: [admin]}}

# How much each client may ask for, exactly: never more in any true window.
limits:
  client: {limits}
  global: {{requests: 10000, window: 60}}
  burst: {{requests: 100, window: 1}}

# What each caller may do. The first rule that matches decides; nothing matched means no.
authorization:
  default: deny
  rules:
    - {{name: admins, allow: {{roles: [admin], tools: ["*"], prompts: ["*"], resources: ["*"]}}}}
    # - {{name: readers, allow: {{scopes: ["mcp:read"], servers: [docs], tools: ["get_*"]}}}}

# What arguments and results may hold: off, log (noted in the record), block, or redact (docs/filters.md).
validation:
  filters: {filters}

# The MCP servers behind this node.
mcp:
{servers}
{pins}

# memory:// for one process; embedded:// starts a Valkey of the node's own for several workers;
# valkey://:${{VALKEY_PASSWORD}}@host:6379/0 is shared by several nodes.
store: {{url: "memory://"}}
database: {{url: "sqlite:///./var/mantlet.db"}}

# Every decision is recorded before it is answered; `mantlet events verify` proves that nothing was changed.
audit:
  path: ./var/audit
"""

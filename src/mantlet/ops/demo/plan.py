"""What the demo consists of: ports, fresh keys and a configuration, written where they can be looked at."""

import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import yaml

from mantlet.core.config_error import ConfigError
from mantlet.node.config.starter import CONFIG_NAME, SECRETS_FOLDER, Starter, new_api_key, write

HOST: Final = "127.0.0.1"
PACKAGES: Final = {"mcp": 2, "mcp-server-time": 0}
"""What the demo's servers are made of, and the major version that is needed at least."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One demo. The keys are fresh, and shown to whoever started it."""

    config: Path
    port: int
    admin_port: int
    admin_key: str
    visitor_key: str

    @property
    def url(self) -> str:
        """All servers as one."""
        return f"http://{HOST}:{self.port}/mcp"

    @property
    def admin_url(self) -> str:
        """The admin listener."""
        return f"http://{HOST}:{self.admin_port}"

    def __repr__(self) -> str:
        return f"Plan({self.config})"


def require_packages() -> None:
    """Raise `ConfigError` where the extra is not installed."""
    for package, major in PACKAGES.items():
        try:
            found = version(package)
        except PackageNotFoundError:
            found = ""
        if not found or int(found.split(".")[0]) < major:
            lacks = f"{package} {found} is too old" if found else f"{package} is not installed"
            raise ConfigError("demo", lacks, "pip install 'mantlet[demo]'")


def free_port(wanted: int, say: Callable[[str], None], taken: int = 0) -> int:
    """`wanted`, or a free port when another program has it (said aloud). 0 is any."""
    for candidate in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, candidate))
            except OSError:
                continue
            port: int = probe.getsockname()[1]
        if port == taken:
            continue
        if candidate != wanted:
            say(f"port {wanted} is taken, so this is port {port}")
        return port
    raise ConfigError("demo", f"found no free port on {HOST}")


def prepare(folder: Path, notes_url: str, port: int, admin_port: int) -> Plan:
    """Write the configuration and its keys into `folder`."""
    plan = Plan(folder / CONFIG_NAME, port, admin_port, new_api_key(), new_api_key())
    secrets = folder / SECRETS_FOLDER
    keys = {secrets / "admin.key": plan.admin_key, secrets / "visitor.key": plan.visitor_key}
    write(Starter(plan.config, _text(plan, notes_url), keys))
    return plan


def _text(plan: Plan, notes_url: str) -> str:
    document = {
        "environment": "development",
        "http": {"host": HOST, "port": plan.port},
        "admin": {"host": HOST, "port": plan.admin_port},
        "auth": {
            "api_keys": [
                {"name": "admin", "key_file": f"./{SECRETS_FOLDER}/admin.key", "roles": ["admin"]},
                {"name": "visitor", "key_file": f"./{SECRETS_FOLDER}/visitor.key", "roles": ["visitor"]},
            ]
        },
        "authorization": {
            "rules": [
                {"name": "admins", "allow": {"roles": ["admin"]}},
                {"name": "visitors", "allow": {"roles": ["visitor"], "servers": ["time"], "tools": ["get_*"]}},
            ]
        },
        "mcp": {
            "servers": [
                {"name": "time", "transport": "stdio", "command": [sys.executable, "-m", "mcp_server_time"]},
                {"name": "notes", "transport": "http", "url": notes_url},
            ]
        },
        "logging": {"level": "WARNING"},
    }
    return "# Written by `mantlet demo`; gone when it ends.\n" + yaml.safe_dump(document, sort_keys=False)

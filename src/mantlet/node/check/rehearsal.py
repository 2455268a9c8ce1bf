"""What only shows when the parts are made: rules, routes, keys, certificates. Made here once and thrown away.

Folders and files that a start would make are only looked at: who may write where, is the machine's to say.

So `check` finds what `serve` would find, without a port, a connection, a child or a new file.
"""

import os
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mantlet.core.clock import SYSTEM
from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import UpstreamUnavailable
from mantlet.events.audit.keys import checkpoint_directory, key_paths
from mantlet.listeners.http2 import require as require_http2
from mantlet.listeners.tls import open_context
from mantlet.node.certificates import callers_of, check_callers
from mantlet.node.certificates import listeners as tls_listeners
from mantlet.node.config.masking import mask_url
from mantlet.node.config.model import Config
from mantlet.node.config.problem import Problem
from mantlet.node.config.secret_files import exposure
from mantlet.node.identity.door_keys import auth_of
from mantlet.policies.authenticate.config import JwtConfig
from mantlet.policies.authorize.compiling import compile_rules
from mantlet.policies.limits.routes import compile_routes
from mantlet.policies.pins.lock import LockFile
from mantlet.stores.sql.config import DatabaseConfig
from mantlet.stores.valkey import address
from mantlet.upstreams.client import endpoint
from mantlet.upstreams.client import tls as client_tls
from mantlet.upstreams.client.http2 import require as require_client_http2
from mantlet.upstreams.transports.channel.config import ChannelConfig
from mantlet.upstreams.transports.http.config import HttpServerConfig
from mantlet.upstreams.transports.openapi import OpenApiServer, OpenApiServerConfig
from mantlet.upstreams.transports.python.config import PythonServerConfig
from mantlet.upstreams.transports.python.loading import look_for
from mantlet.upstreams.transports.service.config import ServiceConfig
from mantlet.upstreams.transports.sse.config import SseServerConfig
from mantlet.upstreams.transports.sse.connector import SseConnector
from mantlet.upstreams.transports.stdio.account import account_of
from mantlet.upstreams.transports.stdio.child import resolved, scrubbed
from mantlet.upstreams.transports.stdio.config import StdioServerConfig
from mantlet.upstreams.transports.tcp.config import TcpServerConfig
from mantlet.upstreams.transports.tcp.connector import TcpConnector
from mantlet.upstreams.transports.websocket.config import WebSocketServerConfig
from mantlet.upstreams.transports.websocket.connector import WebSocketConnector

if TYPE_CHECKING:
    from mantlet.keys.ring import KeyRing

_EVERYWHERE: Final = frozenset({"", "0.0.0.0", "::"})
_PEPPER: Final = bytes(32)
"""Stands for the node's own, which is made at its first start and not by looking."""

Part = tuple[str, Callable[[], object]]


def rehearse(config: Config) -> list[Problem]:
    """The faults of the parts, each at its key. Only for a configuration that nothing else speaks against."""
    problems: list[Problem] = []
    for key, make in _parts(config):
        try:
            make()
        except ConfigError as error:
            problems.append(Problem(mask_url(error.what), error.where, allowed=error.hint))
        except ssl.SSLError as error:
            problems.append(Problem(f"the certificate or key is not accepted: {error.reason or error}", key))
        except (ValueError, OSError) as error:
            problems.append(Problem(mask_url(str(error)), key))
    return problems


def _parts(config: Config) -> Iterator[Part]:
    yield from _ports(config)
    yield "audit.path", lambda: _folder(Path(config.audit.path))
    yield "audit.checkpoint_path", lambda: _folder(checkpoint_directory(config.audit))
    yield "audit.path", lambda: _closed(*key_paths(config.audit))
    yield "database.url", lambda: _database(config.database)
    yield "database.folder", lambda: _closed(config.database.pepper_path)
    yield "authorization.rules", lambda: compile_rules(config.authorization)
    yield "limits.routes", lambda: compile_routes(config.limits.routes)
    yield "auth", lambda: _identity(config)
    if config.auth.issuers:
        yield "auth.issuers", lambda: _issuers(config)
    yield "auth.mtls", lambda: check_callers(config)
    if config.mcp.pins.mode_in(config.environment) == "approve":
        yield "mcp.pins.file", lambda: LockFile(config.mcp.pins.file).read()
    if config.http.http2:
        yield "http.http2", require_http2
    for name, tls in tls_listeners(config):
        yield f"{name}.tls", lambda tls=tls: open_context(tls, callers=callers_of(config, tls))  # type: ignore[misc]
    if not config.store.is_own:
        yield "store.url", lambda: address.parse(config.store.url)
        if config.store.url.startswith(("valkeys", "rediss")):
            yield "store.tls", config.store.access.check_files
    yield from _forwarding(config)
    for service in config.http_upstreams:
        yield f"http_upstreams.{service.name}", lambda service=service: _urls(service)  # type: ignore[misc]
    for server in config.mcp.servers:
        if isinstance(server, HttpServerConfig):
            yield f"mcp.servers.{server.name}", lambda server=server: _http_server(server)  # type: ignore[misc]
        if isinstance(server, ChannelConfig):
            yield f"mcp.servers.{server.name}", lambda server=server: _channel(server)  # type: ignore[misc]
        if isinstance(server, OpenApiServerConfig):
            yield f"mcp.servers.{server.name}", lambda server=server: OpenApiServer(server, is_plain_allowed=True)  # type: ignore[misc]


def _forwarding(config: Config) -> Iterator[Part]:
    from mantlet.node.upstreams.forwarding import rehearse as parts  # it is made of what needs this package

    yield from parts(config)


def _ports(config: Config) -> Iterator[Part]:
    """Where each listener would listen: two of one address and port could not both."""
    taken: list[tuple[str, str, int]] = []
    for name in ("http", "websocket", "tcp", "admin"):
        section = getattr(config, name)
        if section.enabled and section.port:
            yield f"{name}.port", partial(_free, section.host, section.port, [*taken])
            taken.append((name, section.host, section.port))


def _free(host: str, port: int, taken: list[tuple[str, str, int]]) -> None:
    for name, its_host, its_port in taken:
        if port == its_port and (host == its_host or _EVERYWHERE.intersection((host, its_host))):
            raise ValueError(f"{port} is the port of {name} too; give each listener its own, or 0 for any")


def _folder(path: Path) -> None:
    """Raise `ValueError` when `path` is no folder to write to and could not be made one."""
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not there.is_dir():
        raise ValueError(f"{there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"the folder {there} cannot be written to by this user")


def _closed(*keys: Path) -> None:
    """Raise `ValueError` when a key of the node's own, made at an earlier start, is open to others."""
    for key in keys:
        if key.exists() and (why := exposure(key)):
            raise ValueError(f"{key} {why}")


def _database(config: DatabaseConfig) -> None:
    if config.is_sqlite:
        _file(config.path)
        return
    try:
        from mantlet.stores.sql.postgres import tls_context  # needs an extra, and few configurations have it
    except ModuleNotFoundError as error:
        raise ValueError(str(error)) from error
    tls_context(config)
    _folder(config.home)


def _file(path: Path) -> None:
    """Raise `ValueError` when `path` is no file to write to and could not be made one."""
    _folder(path.parent)  # SQLite puts files of its own beside the database
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no file")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise ValueError(f"the file {path} cannot be written to by this user")


def _identity(config: Config) -> None:
    from mantlet.keys.files import read_secret
    from mantlet.policies.authenticate.opening import open_authenticate

    open_authenticate(
        auth_of(config),
        environment=config.environment,
        clock=SYSTEM,
        pepper=_PEPPER,
        read_secret=read_secret,
        keys=_ring(config.auth.jwt) if config.auth.jwt.has_key else None,
        public_url=config.agent.url or "",
    )


def _issuers(config: Config) -> None:
    from mantlet.node.identity.issuers import check_issuers  # heavy, and few configurations have any

    check_issuers(config)


def _ring(jwt: JwtConfig) -> "KeyRing | None":
    from mantlet.keys.ring import open_ring  # heavy, and few configurations have such keys

    return open_ring(algorithms=jwt.algorithms, secret=jwt.secret, key_file=jwt.key_file, jwks_file=jwt.jwks_file)


def _channel(server: ChannelConfig) -> None:
    if isinstance(server, WebSocketServerConfig):
        WebSocketConnector(server, is_plain_allowed=True)
    elif isinstance(server, TcpServerConfig):
        TcpConnector(server, is_plain_allowed=True)
    elif isinstance(server, SseServerConfig):
        SseConnector(server, is_plain_allowed=True)
    elif isinstance(server, PythonServerConfig):
        look_for(server.object)
    elif isinstance(server, StdioServerConfig):
        _program(server)


def _program(server: StdioServerConfig) -> None:
    """Raise `ValueError` when there is no such program here, or no such user."""
    account_of(server.user)
    try:
        resolved(server.command, scrubbed(os.environ, server.env), server.cwd)
    except UpstreamUnavailable as error:
        raise ValueError(error.why) from error


def _urls(server: HttpServerConfig | ServiceConfig) -> None:
    for url in (server.url, *(one.url for one in server.endpoints)):
        endpoint.parse(url, is_plain_allowed=True)  # whether plain is allowed is the environment's to say


def _http_server(server: HttpServerConfig) -> None:
    _urls(server)
    if server.http2 == "auto":
        require_client_http2()
    client_tls.read_pins(server.tls.pins)
    client_tls.context(server.tls)

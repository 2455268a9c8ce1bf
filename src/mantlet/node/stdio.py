"""The node as the one server of a client that starts it (`mantlet stdio`)."""

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec
import uvloop

from mantlet import __version__
from mantlet.core.call import Arrival
from mantlet.core.caller import Caller
from mantlet.core.clock import SYSTEM
from mantlet.core.config_error import ConfigError
from mantlet.core.headers import Headers
from mantlet.core.record import Trail
from mantlet.core.refusal import NotFound, Refusal, Unauthenticated
from mantlet.core.secret import Secret
from mantlet.events.log import set_up
from mantlet.events.structured import structlog
from mantlet.keys.files import read_secret
from mantlet.listeners.messages.exchange import Whole
from mantlet.listeners.stdio import converse
from mantlet.listeners.stdio.streams import take_streams
from mantlet.node.build.built import Node
from mantlet.node.build.root import build
from mantlet.node.config.model import Config
from mantlet.node.doors.messages import opening, terms_of
from mantlet.node.housekeeping import why
from mantlet.node.resources import resources
from mantlet.node.running.settle import settle
from mantlet.node.running.signals import stop_signal
from mantlet.node.shared import Shared
from mantlet.policies.authenticate.config import ApiKeyConfig

STDIO: Final = "stdio"
FAILED: Final = 1
ENDPOINT: Final = "/mcp"
FIRST_LIST_MS: Final = 15_000
"""What `mcp.limits.list_timeout_ms` is at least: Python servers take some seconds to start."""

log: Final = structlog.get_logger("mantlet")


def run(config: Config, *, credential: Secret | None, server: str = "") -> int:
    """Serve the client on the standard streams until it ends, and give the exit code."""
    incoming, outgoing = take_streams()
    config = _patient(config)
    set_up(config.logging, config.environment)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(config, credential, server, incoming, outgoing))
    except (ConfigError, ValueError, OSError, Refusal, ModuleNotFoundError) as error:
        log.error("node.failed", error=type(error).__name__, said=why(error))
        return FAILED


def credential_of(config: Config, *, told: Secret | None, name: str = "") -> Secret | None:
    """What the client is authenticated with: its own token, or the key it stands for. Raises `ConfigError`.

    Outside production a configuration with one key alone needs no word about it; in production an absence is nobody.
    """
    if told is not None or not config.auth.enabled:
        return told
    keys: Mapping[str, ApiKeyConfig] = {key.name: key for key in config.auth.api_keys}
    name = name or config.stdio.caller or ""
    if not name and config.environment != "production" and len(keys) == 1:
        (name,) = keys
    if not name:
        fix = "set MANTLET_TOKEN, stdio.caller, or use --as NAME or --token-file FILE"
        raise ConfigError("stdio.caller", "says not who the client is", fix)
    if name not in keys:
        raise ConfigError("stdio.caller", f"no entry of auth.api_keys is called {name!r}", ", ".join(keys))
    key = keys[name]
    return key.key if key.key is not None else read_secret(key.key_file or "")


def _patient(config: Config) -> Config:
    """A client that starts the node asks for the list at once, while the servers behind it are starting, too."""
    limits = msgspec.structs.replace(
        config.mcp.limits, list_timeout_ms=max(config.mcp.limits.list_timeout_ms, FIRST_LIST_MS)
    )
    return msgspec.structs.replace(config, mcp=msgspec.structs.replace(config.mcp, limits=limits))


async def _serve(config: Config, credential: Secret | None, server: str, incoming: int, outgoing: int) -> int:
    stop = stop_signal()
    async with build(config, Shared(config.store.full_url)) as node:
        path = f"{ENDPOINT}/{server}" if server else ENDPOINT
        if path not in resources(config):
            raise NotFound(f"There is no server called {server}.")
        caller = await _caller(node, path, credential)
        settings = config.stdio
        terms = terms_of(
            node,
            STDIO,
            request_timeout_s=settings.request_timeout,
            max_in_flight=settings.max_in_flight,
            # One's own client is told, not shut out.
            max_refused=1_000_000_000,
        )
        settle()
        log.info("node.started", door=STDIO, caller=caller.name, version=__version__)
        await converse(
            terms,
            caller,
            path,
            incoming=incoming,
            outgoing=outgoing,
            max_line_bytes=settings.max_line_bytes,
            stop=stop,
        )
        log.info("node.ended", door=STDIO)
    return 0


async def _caller(node: Node, path: str, credential: Secret | None) -> Caller:
    fields = [] if credential is None else [(b"authorization", b"Bearer " + credential.reveal().encode())]
    trail = Trail(node.new_id(), STDIO, "local", SYSTEM.wall(), action=f"STDIO {ENDPOINT}")
    deadline_s = SYSTEM.monotonic() + node.config.stdio.request_timeout
    arrival = Arrival("POST", path, b"", Headers(fields), "local", Whole(b"").read, deadline_s, trail)
    await opening(node)(arrival)
    if arrival.caller is None:
        raise Unauthenticated
    return arrival.caller

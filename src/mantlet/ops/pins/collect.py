"""Asking the configured servers for their definitions, as the node would."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from mantlet import __version__
from mantlet.core.call import Arrival, Call
from mantlet.core.caller import Caller
from mantlet.core.clock import SYSTEM
from mantlet.core.definition import Definition
from mantlet.core.headers import Headers
from mantlet.core.record import Trail
from mantlet.core.refusal import Refusal
from mantlet.events.config import AuditConfig
from mantlet.node.build.root import build
from mantlet.node.config.model import Config
from mantlet.node.shared import Shared
from mantlet.policies.pins.asking import Asking
from mantlet.policies.pins.config import PinsConfig
from mantlet.policies.pins.definitions import NAMED_BY, definition_of, instructions_of
from mantlet.stores.sql.config import DatabaseConfig
from mantlet.wire.mcp import inbound
from mantlet.wire.mcp.methods import META_CAPABILITIES, META_CLIENT_INFO, META_VERSION, MODERN_VERSIONS

TIMEOUT_S: Final = 30.0
"""For one server's whole list; it may have to be started first."""
CALLER: Final = Caller("pins", "mantlet", "internal", kind="service")


class Collected(msgspec.Struct):
    """What was found; and by server, why it could not be asked."""

    definitions: list[Definition] = []
    errors: dict[str, str] = {}


async def collect(config: Config) -> Collected:
    """Start or reach every server and ask it. Nothing is listened on, and no trail of a running node is touched."""
    found = Collected()
    with _apart(config) as apart:
        async with build(apart, Shared("memory://")) as node:
            assert node.pins is not None
            for server in apart.mcp.servers:
                try:
                    found.definitions += await _of_server(node.pins.asking, server.name)
                except Refusal as refusal:
                    found.errors[server.name] = f"{refusal.reason}: {refusal.why}"[:500]
    return found


async def _of_server(asking: Asking, server: str) -> list[Definition]:
    call = _call(server)
    definitions: list[Definition] = []
    for kind in NAMED_BY:
        items = await asking.items(call, kind)
        definitions += [one for item in items if (one := definition_of(server, kind, item)) is not None]
    if text := await asking.instructions(call):
        definitions.append(instructions_of(server, text))
    return definitions


@contextmanager
def _apart(config: Config) -> Iterator[Config]:
    """`config` for a node beside the one that may be running: with a trail of its own, and nothing held back."""
    with tempfile.TemporaryDirectory(prefix="mantlet-pins-") as folder:
        # Where the node has keys, identities are forwarded with them; else nothing is made where it would live.
        has_keys = config.database.home.is_dir()
        yield msgspec.structs.replace(
            config,
            audit=AuditConfig(path=str(Path(folder) / "audit")),
            database=config.database if has_keys else DatabaseConfig(url=f"sqlite:///{folder}/pins.db"),
            validation=msgspec.structs.replace(config.validation, schemas="warn"),
            mcp=msgspec.structs.replace(
                config.mcp,
                pins=PinsConfig(mode="off"),
                limits=msgspec.structs.replace(config.mcp.limits, list_timeout_ms=int(TIMEOUT_S * 1000)),
            ),
        )


def _call(server: str) -> Call:
    version = MODERN_VERSIONS[0]
    trail = Trail("pins", "node", "", SYSTEM.wall())
    headers = Headers([(inbound.PROTOCOL_VERSION, version.encode())])
    deadline_s = SYSTEM.monotonic() + 10 * TIMEOUT_S
    meta = {META_VERSION: version, META_CLIENT_INFO: {"name": "mantlet", "version": __version__}, META_CAPABILITIES: {}}
    arrival = Arrival("POST", f"/mcp/{server}", b"", headers, "127.0.0.1", _nothing, deadline_s, trail, caller=CALLER)
    params: dict[str, Any] = {"_meta": meta}
    return Call(arrival, CALLER, "request", "modern", server, "tools/list", "", params, b"", b"0", deadline_s)


async def _nothing() -> bytes:
    return b""

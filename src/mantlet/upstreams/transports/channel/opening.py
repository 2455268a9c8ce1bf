"""Which era a freshly started server speaks, asked as the specification says (2026-07-28, stdio, "Backward
Compatibility"): first `server/discover`; a result or a modern error means modern, anything else legacy.

Servers on the Python SDK 2.x keep a process to the era of its first request, so a modern process says nothing about
legacy. The specification scopes `initialize` to the whole process: asking a modern process for it could turn it over
under the modern calls in flight. So the other era is always tried on a process of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import mantlet
from mantlet.core.call import Era
from mantlet.core.refusal import BadUpstream, DeadlineExceeded, InvalidJson
from mantlet.upstreams.transports.channel.link import Link
from mantlet.wire import jsonrpc
from mantlet.wire.mcp.methods import (
    LATEST_LEGACY,
    LEGACY_VERSIONS,
    META_CAPABILITIES,
    META_CLIENT_INFO,
    META_VERSION,
    MODERN_VERSIONS,
)

UNSUPPORTED_VERSION: Final = -32022
MODERN_ERRORS: Final = frozenset({-32020, -32021, UNSUPPORTED_VERSION})
CLIENT_INFO: Final = {"name": "mantlet", "version": mantlet.__version__}


class WrongEra(BadUpstream):
    """The server understands, and does not speak the era it was opened for. Trying again changes nothing."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a server said of itself. `result` is its InitializeResult or DiscoverResult, empty when there was none."""

    era: Era
    versions: tuple[str, ...]
    result: Mapping[str, Any]


async def probe(link: Link, timeout_s: float) -> Opening:
    """Open a channel in the era that the server prefers to tell, modern before legacy."""
    try:
        # A third: a server that keeps silent at what it does not know still has the rest for its handshake.
        opening = await _discover(link, timeout_s / 3)
    except DeadlineExceeded:
        return await _after_silence(link, timeout_s)
    return opening or await handshake(link, timeout_s * 2 / 3)


async def _after_silence(link: Link, timeout_s: float) -> Opening:
    try:
        return await handshake(link, timeout_s * 2 / 3)
    except WrongEra:
        # It was only slow to start, and what it heard first was the probe.
        opening = await _discover(link, timeout_s / 3)
        if opening is None:
            raise
        return opening


async def _discover(link: Link, timeout_s: float) -> Opening | None:
    """What a modern server says of itself, or None for a legacy one's answer."""
    meta = {META_VERSION: MODERN_VERSIONS[0], META_CLIENT_INFO: CLIENT_INFO, META_CAPABILITIES: {}}
    answered = await link.ask("server/discover", {"_meta": meta}, timeout_s)
    message = _read(answered.body)
    versions = read_discovered(message)
    if versions is None:
        return None
    if not set(versions) & set(MODERN_VERSIONS):
        raise WrongEra(why=f"the server is modern and supports {', '.join(versions)} only")
    link.mux.era = "modern"
    return Opening("modern", versions, message.get("result") or {})


def read_discovered(message: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The versions of a modern server by its answer to `server/discover`, or None for a legacy one's answer."""
    result, error = message.get("result"), message.get("error")
    if type(result) is dict:
        return _versions(result.get("supportedVersions"))
    if type(error) is not dict or error.get("code") not in MODERN_ERRORS:
        return None
    if error["code"] != UNSUPPORTED_VERSION:
        return MODERN_VERSIONS
    data = error.get("data")
    return (_versions(data.get("supported")) if type(data) is dict else None) or ()


async def handshake(link: Link, timeout_s: float) -> Opening:
    """Initialize a legacy server, once for the life of its process, with no client capabilities: a request that a
    shared server made on its own could not be attributed to one caller."""
    params = {"protocolVersion": LATEST_LEGACY, "capabilities": {}, "clientInfo": CLIENT_INFO}
    answered = await link.ask("initialize", params, timeout_s)
    message = _read(answered.body)
    result = message.get("result")
    if type(result) is not dict:
        raise WrongEra(why=f"the server refused initialize: {str(message.get('error'))[:300]}")
    version = result.get("protocolVersion")
    if version not in LEGACY_VERSIONS:
        raise WrongEra(why=f"the server chose the protocol version {str(version)[:40]!r}")
    link.mux.era = "legacy"
    link.notify({"jsonrpc": "2.0", "method": "notifications/initialized"})
    return Opening("legacy", (version,), result)


class FirstOpening:
    """Open a server's first channel, whose era decides what the server is: by the probe, or without it where the probe
    seems to have ended the server."""

    def __init__(self) -> None:
        self._skips_probe = False

    async def __call__(self, link: Link, timeout_s: float) -> Opening:
        """Raises `BadUpstream`; nothing is settled by that."""
        try:
            return await (handshake if self._skips_probe else probe)(link, timeout_s)
        except WrongEra as wrong:
            # It was only a guess that the probe had ended it: the first channel's era is never settled by that.
            self._skips_probe = False
            raise BadUpstream(why=wrong.why) from wrong
        except BadUpstream:
            if link.closed.is_set():
                self._skips_probe = not self._skips_probe  # some servers end at what they do not know
            raise


def negotiated(requested: object, version: str) -> str:
    """The version for a client that asked for `requested` of a server opened at `version`.

    An older revision is granted: since 2024-11-05 each one only added to what a client of the one before reads.
    """
    if requested in LEGACY_VERSIONS and LEGACY_VERSIONS.index(str(requested)) >= LEGACY_VERSIONS.index(version):
        return str(requested)
    return version


def _read(body: bytes) -> Mapping[str, Any]:
    try:
        message = jsonrpc.decode(body)
    except InvalidJson as error:
        raise BadUpstream(why=f"the server's opening answer: {error.why}") from error
    assert type(message) is dict  # the mux wrote its envelope
    return message


def _versions(value: Any) -> tuple[str, ...] | None:
    if type(value) is not list or not all(type(version) is str for version in value):
        return None
    return tuple(value)

"""The node listens for itself: who changes its definitions says so to whoever holds a stream, and clients need not.

So each server in use is listened to by each process (2026-07-28, basic/patterns/subscriptions; the bridge makes of it
what a legacy server knows).
"""

import itertools
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final

from mantlet import __version__
from mantlet.core.call import Arrival, Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.headers import Headers
from mantlet.core.policy import CallHandler
from mantlet.core.record import Trail
from mantlet.core.refusal import InvalidJson, Refusal
from mantlet.core.tasks import Tasks
from mantlet.policies.aggregate.changes import CHANGED
from mantlet.policies.aggregate.source import OPEN_TIMEOUT_S, NoStream, keep_open
from mantlet.wire import jsonrpc
from mantlet.wire.mcp import calls, inbound
from mantlet.wire.mcp.methods import META_CAPABILITIES, META_CLIENT_INFO, META_VERSION, MODERN_VERSIONS

METHOD: Final = "subscriptions/listen"
MAX_FAILURES: Final = 3
"""In a row, and fewer than open a breaker; then it is let be until it is asked for its definitions again."""
_ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"


class Listening:
    """At most one stream a server. What is heard on it opens nothing: a server is only asked again the sooner."""

    def __init__(
        self, ask: CallHandler, servers: Collection[str], caller: Caller, clock: Clock, tasks: Tasks,
        chance: Callable[[], float],
    ) -> None:  # fmt: skip
        """`servers` are those that are listened to, `caller` is the node itself."""
        self._ask, self._servers, self._caller = ask, frozenset(servers), caller
        self._clock, self._tasks, self._chance = clock, tasks, chance
        self._running: set[str] = set()
        self._ids = itertools.count(1)
        self.changed: Callable[[str], None] = lambda server: None
        """Told of a server whose definitions may be others than before."""

    def begin(self, server: str) -> None:
        """Listen to `server` from now on, if that is not done already."""
        if server in self._servers and server not in self._running:
            self._running.add(server)
            self._tasks.start(self._listen(server), f"pins.listen.{server}")

    async def _listen(self, server: str) -> None:
        ear = _Ear(server, self.changed)
        try:
            await keep_open(lambda: self._open(server), ear.heard, ear.failed, self._chance)
        except NoStream:
            return
        finally:
            self._running.discard(server)

    def _open(self, server: str) -> Awaitable[Reply]:
        deadline_s = self._clock.monotonic() + OPEN_TIMEOUT_S
        trail = Trail(f"pins-{next(self._ids)}", "node", "", self._clock.wall())
        version = MODERN_VERSIONS[0]
        headers = Headers([(inbound.PROTOCOL_VERSION, version.encode())])
        arrival = Arrival("POST", f"/mcp/{server}", b"", headers, "", _nothing, deadline_s, trail, caller=self._caller)
        params: dict[str, Any] = {
            "_meta": {
                META_VERSION: version,
                META_CLIENT_INFO: {"name": "mantlet", "version": __version__},
                META_CAPABILITIES: {},
            },
            "notifications": dict.fromkeys(CHANGED.values(), True),
        }
        base = Call(arrival, self._caller, "request", "modern", server, METHOD, "", params, b"", b"0", deadline_s)
        return self._ask(calls.request(base, server, METHOD, params, session="", deadline_s=deadline_s))


class _Ear:
    """What comes on one server's streams, one after another."""

    def __init__(self, server: str, changed: Callable[[str], None]) -> None:
        self._server, self._changed = server, changed
        self._failures = 0
        self._was_open = False

    async def heard(self, data: bytes) -> None:
        """One message. Raises `NoStream` for an error: it offers none."""
        try:
            message = jsonrpc.decode(data)
        except InvalidJson:
            return
        if type(message) is not dict:
            return
        if "error" in message:
            raise NoStream
        self._failures = 0
        method = message.get("method")
        # What changed between two streams nobody was told.
        if method in CHANGED or (method == _ACKNOWLEDGED and self._was_open):
            self._changed(self._server)
        self._was_open = self._was_open or method == _ACKNOWLEDGED

    def failed(self, _: Refusal) -> None:
        """It did not open, or broke."""
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            raise NoStream


async def _nothing() -> bytes:
    return b""

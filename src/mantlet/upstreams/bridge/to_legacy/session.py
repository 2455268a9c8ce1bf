"""One session that the node keeps with a legacy server, for callers that look alike to it (AUTHZ-08).

It is opened once, however many ask at the same time, and again when the server has forgotten it. Nothing here is sent
over a socket: it makes legacy calls, and `inner` carries them.
"""

import asyncio
import itertools
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mantlet.core.call import Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.ports import Upstream
from mantlet.core.refusal import BadUpstream, DeadlineExceeded, Refusal, SessionNotFound
from mantlet.core.stream import aclose
from mantlet.core.tasks import Tasks
from mantlet.wire.mcp import replies
from mantlet.wire.mcp.bridge import to_legacy_answers as answers
from mantlet.wire.mcp.bridge import to_legacy_calls as calls
from mantlet.wire.mcp.bridge.to_legacy_requests import LOG_LEVELS, Wishes, initialize_params
from mantlet.wire.mcp.inbound import SESSION_ID
from mantlet.wire.mcp.methods import LEGACY_VERSIONS

if TYPE_CHECKING:
    from mantlet.upstreams.bridge.to_legacy.exchange import Exchange
    from mantlet.upstreams.bridge.to_legacy.feed import Feed

OPEN_TIMEOUT_S: Final = 15.0
TELL_TIMEOUT_S: Final = 5.0
"""For what the node says on its own account: levels, cancellations, answers, ends."""
_LEVEL_NAMES: Final = tuple(LOG_LEVELS)


@dataclass(frozen=True, slots=True)
class Opened:
    """What the server said to `initialize`. `id` is the session id as `inner` knows it; empty when there is none."""

    id: str
    version: str
    result: Mapping[str, Any]
    capabilities: Mapping[str, Any]
    server_info: bytes

    @property
    def meta(self) -> Mapping[str, Any]:
        """Who answers, for the `_meta` of results that are not the server's own."""
        return {answers.META_SERVER_INFO: msgspec.Raw(self.server_info)} if self.server_info else {}


class Session:
    """For one key of `to_legacy_requests.session_key`. `users` are calls and subscriptions that need it open."""

    def __init__(self, inner: Upstream, caller: Caller, said: Wishes, clock: Clock, tasks: Tasks) -> None:
        self.inner = inner
        self.caller = caller
        self.said = said
        self.clock = clock
        self.opened: Opened | None = None
        self.users = 0
        self.used_at_s = clock.monotonic()
        self.exchanges: dict[int, Exchange] = {}
        self.tokens: set[bytes] = set()
        """Progress tokens of calls under way: two clients that share the session may have chosen the same."""
        self.feed: Feed | None = None
        self.is_closed = False
        self._ids = itertools.count(1)
        self._tasks = tasks
        self._waiters: set[asyncio.Future[Opened]] = set()
        self._is_opening = False
        self._level = len(_LEVEL_NAMES)

    def next_id(self) -> int:
        """An id that no other request of the session has."""
        return next(self._ids)

    def token_for(self, token: bytes) -> bytes:
        """The progress token to use upstream: the client's own, or another while that is in use."""
        if token in self.tokens:
            token = b'"mantlet-%d"' % self.next_id()
        self.tokens.add(token)
        return token

    def changed(self, method: str, params: bytes, data: bytes) -> None:
        """A notification came that is for subscriptions, on whatever stream."""
        if self.feed is not None:
            self.feed.changed(method, params, data)

    def leave(self) -> None:
        """One user less."""
        self.users -= 1
        self.used_at_s = self.clock.monotonic()

    # --- opening

    async def open(self, deadline_s: float) -> Opened:
        """The open session. All who ask meanwhile share one opening, and each may leave alone."""
        if self.opened is not None:
            return self.opened
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Opened] = loop.create_future()
        if not self._is_opening:  # also when all who asked have left: the opening goes on, and is bounded
            self._is_opening = True
            self._tasks.start(self._open(), "bridge-open")
        self._waiters.add(waiter)
        timer = loop.call_later(max(0.0, deadline_s - self.clock.monotonic()), _expire, waiter)
        try:
            return await waiter
        finally:
            timer.cancel()
            self._waiters.discard(waiter)

    def forget(self, opened: Opened) -> None:
        """The server does not know `opened` any more."""
        if self.opened is opened:
            self.opened = None

    async def _open(self) -> None:
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                opened = await self._initialize()
        except TimeoutError:
            self._tell(DeadlineExceeded(why="the server did not answer initialize in time"))
        except Refusal as refusal:
            self._tell(refusal)
        except BaseException:
            self._tell(BadUpstream(why="the opening broke off"))
            raise
        else:
            self.opened = opened
            self._level = len(_LEVEL_NAMES)
            self._tell(opened)
            if self.is_closed:
                self.end()

    async def _initialize(self) -> Opened:
        server, deadline_s = self.inner.name, self.clock.monotonic() + OPEN_TIMEOUT_S
        params = initialize_params(self.said)
        call = calls.own_request(self.caller, server, "initialize", params, self.next_id(), "", "", deadline_s)
        reply = await self.inner.send(call)
        result = (await replies.read(reply)).get("result")
        version = result.get("protocolVersion") if type(result) is dict else None
        if type(result) is not dict or type(version) is not str or version not in LEGACY_VERSIONS:
            raise BadUpstream(why="it answered initialize with no revision that is known here")
        session = (reply.header(SESSION_ID) or b"").decode("latin-1")
        capabilities, info = result.get("capabilities"), result.get("serverInfo")
        opened = Opened(
            id=session,
            version=version,
            result=result,
            capabilities=capabilities if type(capabilities) is dict else {},
            server_info=msgspec.json.encode(info) if type(info) is dict else b"",
        )
        try:
            await self._notify(opened, "notifications/initialized", {})
        except SessionNotFound as error:
            raise BadUpstream(why="it forgets its sessions") from error
        return opened

    def _tell(self, outcome: Opened | Refusal) -> None:
        self._is_opening = False
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if waiter.done():
                continue
            if isinstance(outcome, Opened):
                waiter.set_result(outcome)
            else:
                waiter.set_exception(outcome)

    # --- speaking

    async def send(
        self, call: Call, body: bytes, identity: int, token: bytes, level: int, deadline_s: float
    ) -> tuple[Opened, Reply]:
        """Send the client's request, in a new session if the server has lost the old one: it did nothing then."""
        opened = self.opened or await self.open(call.deadline_s)
        try:
            return opened, await self._request(opened, call, body, identity, token, level, deadline_s)
        except SessionNotFound as error:
            if not opened.id:
                raise BadUpstream(why="it misses a session that it never began") from error
        self.forget(opened)
        opened = await self.open(call.deadline_s)
        try:
            return opened, await self._request(opened, call, body, identity, token, level, deadline_s)
        except SessionNotFound as error:
            self.forget(opened)
            raise BadUpstream(why="it forgets its sessions") from error

    async def _request(
        self, opened: Opened, call: Call, body: bytes, identity: int, token: bytes, level: int, deadline_s: float
    ) -> Reply:
        if level >= 0:
            await self._set_level(opened, level)
        reply = await self.inner.send(calls.request(call, body, identity, token, opened.id, opened.version, deadline_s))
        if reply.status == 400 and opened.id and _is_nobodys(reply):
            raise SessionNotFound  # so say servers that do not know the status for it
        return reply

    async def ask(self, opened: Opened, method: str, params: Any) -> Mapping[str, Any]:
        """A request of the node's own, and its response."""
        deadline_s = self.clock.monotonic() + TELL_TIMEOUT_S
        call = calls.own_request(
            self.caller, self.inner.name, method, params, self.next_id(), opened.id, opened.version, deadline_s
        )
        try:
            async with asyncio.timeout(TELL_TIMEOUT_S):
                return await replies.read(await self.inner.send(call))
        except TimeoutError as error:
            raise DeadlineExceeded(why=f"the server did not answer {method} in time") from error

    async def answer(self, opened: Opened, body: bytes) -> None:
        """Answer a request of the server's."""
        deadline_s = self.clock.monotonic() + TELL_TIMEOUT_S
        await self._carry(calls.response(self.caller, self.inner.name, body, opened.id, opened.version, deadline_s))

    async def listen(self, opened: Opened, deadline_s: float, last_event: bytes = b"") -> Reply:
        """The session's own stream, or what is left of another."""
        return await self.inner.send(
            calls.stream(self.caller, self.inner.name, opened.id, opened.version, deadline_s, last_event)
        )

    def cancelled(self, opened: Opened, identity: int, why: str) -> None:
        """Tell the server that nobody waits for the request any more."""
        self._tasks.start(
            self._quietly(self._notify(opened, "notifications/cancelled", {"requestId": identity, "reason": why})),
            "bridge-cancel",
        )

    def end(self) -> asyncio.Task[Any] | None:
        """End it, whether or not the server hears of it; gives the task that tells it so."""
        self.is_closed = True
        if self.feed is not None:
            self.feed.close()
        opened, self.opened = self.opened, None
        if opened is None or not opened.id:
            return None
        return self._tasks.start(self._quietly(self._end(opened)), "bridge-end")

    async def _end(self, opened: Opened) -> None:
        deadline_s = self.clock.monotonic() + TELL_TIMEOUT_S
        await self._carry(calls.end(self.caller, self.inner.name, opened.id, opened.version, deadline_s))

    async def _notify(self, opened: Opened, method: str, params: Any) -> None:
        deadline_s = self.clock.monotonic() + TELL_TIMEOUT_S
        await self._carry(
            calls.notification(self.caller, self.inner.name, method, params, opened.id, opened.version, deadline_s)
        )

    async def _carry(self, call: Call) -> None:
        try:
            async with asyncio.timeout(TELL_TIMEOUT_S):
                reply = await self.inner.send(call)
                await aclose(reply.body)
        except TimeoutError as error:
            raise DeadlineExceeded(why="the server did not take a message in time") from error

    async def _quietly(self, work: Any) -> None:
        with suppress(Refusal):  # it is gone, or will be; who waited for this has left
            await work

    async def _set_level(self, opened: Opened, level: int) -> None:
        # Only ever towards more: callers that share the session may ask for different levels at the same time, and
        # what is too much for one of them is left out on the way to it.
        if level >= self._level or "logging" not in opened.capabilities:
            return
        before, self._level = self._level, level
        try:
            await self.ask(opened, "logging/setLevel", {"level": _LEVEL_NAMES[level]})
        except BaseException:
            self._level = before
            raise


def _expire(waiter: asyncio.Future[Opened]) -> None:
    if not waiter.done():
        waiter.set_exception(DeadlineExceeded(why="the session was not opened before the call's deadline"))


def _is_nobodys(reply: Reply) -> bool:
    """Whether a refused request was refused before its id was read: then it was the session that was not liked."""
    if not isinstance(reply.body, bytes):
        return False
    message = answers.read(reply.body)
    if message is None or isinstance(message.error, msgspec.UnsetType):
        return False
    return isinstance(message.id, msgspec.UnsetType) or bytes(message.id) == b"null"

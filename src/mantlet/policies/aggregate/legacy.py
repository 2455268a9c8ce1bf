"""What only legacy clients do at the endpoint of all servers: sessions, streams, answers, cancellations, levels."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from mantlet.core.call import Call, Reply
from mantlet.core.clock import Clock
from mantlet.core.headers import Headers
from mantlet.core.policy import CallHandler
from mantlet.core.ports import Post, Sealer, State
from mantlet.core.refusal import BadUpstream, InvalidParams, InvalidRequest, Refusal, SessionNotFound
from mantlet.core.tasks import Tasks
from mantlet.policies.aggregate import asked
from mantlet.policies.aggregate.behind import Behind, BehindSessions
from mantlet.policies.aggregate.events import passed_on
from mantlet.policies.aggregate.listen import Changed
from mantlet.policies.aggregate.merged import Merged
from mantlet.policies.aggregate.session import Session, SessionIds
from mantlet.policies.aggregate.streams import Streams
from mantlet.policies.record.stream import CountedStream
from mantlet.wire import jsonrpc
from mantlet.wire.mcp import calls, inbound
from mantlet.wire.mcp.replies import read

LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


class Legacy:
    """The sessions of legacy clients and all that hangs on them."""

    def __init__(
        self,
        *,
        sealer: Sealer,
        state: State,
        post: Post,
        clock: Clock,
        merged: Merged,
        changed: Changed,
        chance: Callable[[], float],
        tell_timeout_s: float,
        session_idle_s: float,
        tasks: Tasks,
    ) -> None:
        self._state = state
        self._clock = clock
        self._tell_timeout_s = tell_timeout_s
        self.ids = SessionIds(sealer, state, post, clock, idle_s=session_idle_s, busy=self._busy, tasks=tasks)
        self.behind = BehindSessions(state, self.ids.left_s, self._opened)
        self._streams = Streams(merged, state, post, tasks, changed=changed, monotonic=clock.monotonic, chance=chance)
        self._under_way: dict[tuple[str, bytes], Call] = {}

    def _busy(self) -> Iterator[str]:
        """The sessions with a call under way or an open stream here: they are not idle, however long it takes."""
        yield from self._streams
        for key, _ in self._under_way:
            yield key

    # --- requests

    async def lead(self, call: Call, led: Call, session: Session, onward: CallHandler) -> Reply:
        """Send `led` on in the session with its server; in a new one when the server forgot the old.

        Remembered until its answer is whole, so that it can be cancelled.
        """
        if call.id is None:
            return await self._sent(call, led, session, onward)
        key = (session.key, call.id)
        self._under_way[key] = led
        reply: Reply | None = None
        try:
            reply = await self._sent(call, led, session, onward)
        finally:
            if reply is None or isinstance(reply.body, bytes):
                self._answered(key, led)
        _keep_inside(reply)
        if not isinstance(reply.body, bytes):
            reply = passed_on(reply, session, led.server, lambda answer: self._refuse(call, led, answer, onward))
            assert not isinstance(reply.body, bytes)
            reply.body = CountedStream(reply.body, lambda _: self._answered(key, led))
        return reply

    async def _sent(self, call: Call, led: Call, session: Session, onward: CallHandler) -> Reply:
        behind = await self.behind.at(led.server, session, call, onward)
        _place_in(led, behind)
        try:
            return await onward(led)
        except SessionNotFound:
            # The server did not take the call, so it may be sent once more.
            _place_in(led, await self.behind.renewed(behind, session, call, onward))
        try:
            return await onward(led)
        except SessionNotFound as error:
            # To the client this would say that its own session is gone.
            raise BadUpstream(why="the server forgot a session that it had just opened") from error

    def _answered(self, key: tuple[str, bytes], led: Call) -> None:
        if self._under_way.get(key) is led:
            del self._under_way[key]

    async def _refuse(self, call: Call, led: Call, answer: Mapping[str, Any], onward: CallHandler) -> None:
        version = (led.arrival.headers.get(inbound.PROTOCOL_VERSION) or b"").decode("latin-1")
        with contextlib.suppress(Refusal):
            await onward(calls.response(call, led.server, answer, session=led.session, version=version))

    async def set_level(self, call: Call, session: Session, servers: Sequence[str], onward: CallHandler) -> None:
        """Tell every server in use, and remember it for those that come into use later."""
        level = call.params.get("level")
        if level not in LEVELS:
            raise InvalidParams(f'"level" must be one of {", ".join(LEVELS)}.')
        await self._state.put(_level(session), str(level).encode(), self.ids.left_s(session))
        known = await self.behind.known(servers, session)
        await self._tell_all(
            [self._setting(call, behind, str(level)) for behind in known if "logging" in behind.can], onward
        )

    # --- what needs no answer

    async def end(self, call: Call, session: Session, servers: Sequence[str], onward: CallHandler) -> None:
        """End the session and those behind it."""
        await self.ids.end(session)
        await self._streams.end(session)
        behind = await self.behind.forget(session, servers)
        await self._tell_all([calls.end(call, b.server, b.session, b.version) for b in behind if b.session], onward)

    async def notified(self, call: Call, session: Session, servers: Sequence[str], onward: CallHandler) -> None:
        """Hand a notification to the server, or the servers, that it is for."""
        match call.method:
            case "notifications/cancelled":
                subs = await self._cancelled(call, session, servers)
            case "notifications/progress":
                subs = await self._progressed(call, session, servers)
            case "notifications/roots/list_changed":
                known = await self.behind.known(servers, session)
                subs = [_note(call, behind, call.params) for behind in known]
            case _:
                subs = []  # `initialized` each server has heard when its session was opened; others speak of no server
        await self._tell_all(subs, onward)

    async def responded(self, call: Call, session: Session, servers: Sequence[str], onward: CallHandler) -> None:
        """Hand the client's answer to the server that asked. Raises `InvalidRequest` when none did."""
        found = asked.read(session, "request", call.message.get("id"))
        if found is None or found[0] not in servers:
            raise InvalidRequest("Nothing was asked under that id.")
        server, own = found
        for behind in await self.behind.known([server], session):
            message = {**call.message, "id": json.loads(own)}
            sub = calls.response(call, server, message, session=behind.session, version=behind.version)
            # A server that has forgotten the session has forgotten its question.
            with contextlib.suppress(SessionNotFound):
                await onward(sub)

    async def _cancelled(self, call: Call, session: Session, servers: Sequence[str]) -> list[Call]:
        raw_id = jsonrpc.raw_identifier(call.params.get("requestId"))
        led = self._under_way.get((session.key, raw_id))
        if led is not None:
            return [calls.notification(call, led.server, call.method, call.params, session=led.session)]
        # It came to another worker, or is over. The client's ids are its own alone, and a server knows those it was
        # given: told to all, it reaches the right one, and a call pays nothing for it.
        return [_note(call, behind, call.params) for behind in await self.behind.known(servers, session)]

    async def _progressed(self, call: Call, session: Session, servers: Sequence[str]) -> list[Call]:
        found = asked.read(session, "progress", call.params.get("progressToken"))
        if found is None or found[0] not in servers:
            return []
        params = {**call.params, "progressToken": json.loads(found[1])}
        return [_note(call, behind, params) for behind in await self.behind.known([found[0]], session)]

    # --- streams

    async def stream(self, call: Call, session: Session, servers: Sequence[str], onward: CallHandler) -> Reply:
        """The session's own stream, or the rest of a call's stream that broke off."""
        last = call.arrival.headers.text(inbound.LAST_EVENT_ID)
        found = asked.read(session, "event", last) if last else None
        if found is None or found[0] not in servers:
            left_s = self.ids.left_s(session)
            return await self._streams.open(call, session, servers, self.behind, left_s, onward)
        server, own = found
        behind = await self.behind.at(server, session, call, onward)
        sub = calls.stream(
            call,
            server,
            session=behind.session,
            deadline_s=call.deadline_s,
            version=behind.version,
            last_event_id=own.decode("latin-1"),
        )
        reply = await onward(sub)
        _keep_inside(reply)
        return passed_on(reply, session, server, lambda answer: self._refuse(call, sub, answer, onward))

    # --- all of them

    async def _opened(self, session: Session, behind: Behind, call: Call, onward: CallHandler) -> None:
        if "logging" in behind.can and (level := await self._state.get(_level(session))) is not None:
            await self._tell_all([self._setting(call, behind, level.decode())], onward)
        await self._streams.in_use(session, behind)

    async def _tell_all(self, subs: Sequence[Call], onward: CallHandler) -> None:
        async with asyncio.TaskGroup() as group:
            for sub in subs:
                group.create_task(self._tell(sub, onward))

    async def _tell(self, sub: Call, onward: CallHandler) -> None:
        # One that does not hear is its own affair: there is nobody to whom that could be said.
        with contextlib.suppress(Refusal, TimeoutError):
            async with asyncio.timeout(self._tell_timeout_s):
                reply = await onward(sub)
                if not isinstance(reply.body, bytes):
                    await read(reply)

    def _setting(self, call: Call, behind: Behind, level: str) -> Call:
        return calls.request(
            call,
            behind.server,
            "logging/setLevel",
            {"level": level},
            session=behind.session,
            deadline_s=self._clock.monotonic() + self._tell_timeout_s,
            version=behind.version,
        )


def _level(session: Session) -> tuple[str, str]:
    return ("mcp.level", session.key)


def _note(call: Call, behind: Behind, params: Mapping[str, Any]) -> Call:
    return calls.notification(call, behind.server, call.method, params, session=behind.session, version=behind.version)


def _keep_inside(reply: Reply) -> None:
    """The id of a session behind is no business of the client's, and one that took it up would be lost."""
    reply.headers = [field for field in reply.headers if field[0] != inbound.SESSION_ID]


def _place_in(led: Call, behind: Behind) -> None:
    led.session = behind.session
    headers = led.arrival.headers
    said = headers.get(inbound.PROTOCOL_VERSION)
    if said is not None and said != behind.version.encode():
        # The revision that this server settled on, which may be an older one than the client's.
        fields = [(n, behind.version.encode() if n == inbound.PROTOCOL_VERSION else v) for n, v in headers]
        led.arrival = replace(led.arrival, headers=Headers(fields))

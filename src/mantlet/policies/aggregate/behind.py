"""The sessions with servers behind a client's session: one per server, the same for all workers.

Whoever needs a server first opens a session with it and claims its place in `State`; who comes second in that race
ends the one it opened and takes the first. So an answer or a cancellation of the client finds its call whatever worker
it lands on. A session that a server has forgotten is followed by one of the next generation, claimed the same way.

Staleness: a worker uses what it has seen, without asking the store again, for as long as the server takes it. What it
has seen can only be out of date when the server forgot that session, and then the server says so: `renewed` looks.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from mantlet.core.call import Call
from mantlet.core.policy import CallHandler
from mantlet.core.ports import State, StateKey
from mantlet.core.refusal import BadUpstream, Refusal
from mantlet.policies.aggregate.session import Session
from mantlet.wire.mcp import calls, inbound
from mantlet.wire.mcp.methods import LEGACY_VERSIONS
from mantlet.wire.mcp.replies import read

MAX_KEPT: Final = 10_000
"""Sessions with servers that one worker remembers; the least recently used is looked up again when needed."""


class _Value(msgspec.Struct, array_like=True):
    """What stands in `State`."""

    generation: int
    session: str
    version: str
    can: list[str]


_DECODER: Final = msgspec.json.Decoder(_Value)


@dataclass(frozen=True, slots=True)
class Behind:
    """A session with one server. `session` is empty where the server keeps none; `can` are its capabilities."""

    server: str
    generation: int
    session: str
    version: str
    can: frozenset[str]


Opened = Callable[[Session, Behind, Call, CallHandler], Any]
"""An awaitable that is told of each session that was opened here."""


class BehindSessions:
    """Finds them, opens them, and remembers them in a small cache."""

    def __init__(self, state: State, left_s: Callable[[Session], float], opened: Opened) -> None:
        self._state = state
        self._left_s = left_s
        self._opened = opened
        self._kept: OrderedDict[tuple[str, str], asyncio.Future[Behind]] = OrderedDict()

    async def at(self, server: str, session: Session, call: Call, onward: CallHandler) -> Behind:
        """The session with `server`; opened once, however many ask at a time.

        Raises what opening it raised, to all who waited. When the one who opens it leaves, the next opens it.
        """
        key = (session.key, server)
        while (future := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            if not future.done():
                # `wait` leaves the shared future alone when one of those who wait is cancelled.
                await asyncio.wait({future})
            if not future.cancelled():
                return future.result()
        return await self._begin(key, self._find_or_open(server, session, call, onward))

    async def renewed(self, gone: Behind, session: Session, call: Call, onward: CallHandler) -> Behind:
        """The successor of one that its server has forgotten: a sibling's if there is one, else a new one."""
        key = (session.key, gone.server)
        future = self._kept.get(key)
        if future is not None and (not future.done() or _result(future) != gone):
            return await self.at(gone.server, session, call, onward)
        return await self._begin(key, self._find_or_open(gone.server, session, call, onward, gone.generation + 1))

    async def known(self, servers: Sequence[str], session: Session) -> list[Behind]:
        """Those of `servers` that any worker has a session with; none is opened."""
        found: list[Behind] = []
        for server in servers:
            future = self._kept.get((session.key, server))
            behind = _result(future) if future is not None else None
            if behind is None:
                value = await self._state.get(_head(session, server))
                behind = None if value is None else _behind(server, value)
            if behind is not None:
                found.append(behind)
        return found

    async def forget(self, session: Session, servers: Sequence[str]) -> list[Behind]:
        """Let go of all of them, here and for all workers; they are not ended by that."""
        known = await self.known(servers, session)
        for behind in known:
            self._kept.pop((session.key, behind.server), None)
            await self._state.drop(_head(session, behind.server))
        return known

    async def _begin(self, key: tuple[str, str], opening: Any) -> Behind:
        future: asyncio.Future[Behind] = asyncio.get_running_loop().create_future()
        self._kept[key] = future
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        try:
            behind: Behind = await opening
        except BaseException as error:
            if self._kept.get(key) is future:
                del self._kept[key]
            if isinstance(error, Refusal):
                future.set_exception(error)
                future.exception()  # looked at: nobody may be waiting
            else:
                future.cancel()  # those who wait try for themselves: this one's leaving is no fault of the server
            raise
        future.set_result(behind)
        return behind

    async def _find_or_open(
        self, server: str, session: Session, call: Call, onward: CallHandler, generation: int = 0
    ) -> Behind:
        place = _place(session, server, generation) if generation else _head(session, server)
        if (standing := await self._state.get(place)) is not None:
            return _behind(server, standing)
        generation = generation or 1
        mine = await self._open(server, session, call, onward)
        mine.generation = generation
        value, left_s = msgspec.json.encode(mine), self._left_s(session)
        standing = await self._state.claim(_place(session, server, generation), value, left_s)
        behind = _behind(server, standing)
        if standing != value:
            if mine.session and mine.session != behind.session:
                await onward(calls.end(call, server, mine.session, mine.version))
            return behind
        # The way in for those who have seen no generation yet. Should it ever be a step behind, the server says so.
        await self._state.put(_head(session, server), value, left_s)
        await self._opened(session, behind, call, onward)
        return behind

    async def _open(self, server: str, session: Session, call: Call, onward: CallHandler) -> _Value:
        params = {
            "protocolVersion": session.version,
            "capabilities": session.capabilities,
            "clientInfo": session.client,
        }
        reply = await onward(calls.request(call, server, "initialize", params, session="", deadline_s=call.deadline_s))
        given = reply.header(inbound.SESSION_ID)
        # Read to its answer: a stream closed before it would cancel the handshake, and an error opens no session.
        result = (await read(reply)).get("result")
        if reply.status != 200 or type(result) is not dict:
            raise BadUpstream(why=f"{server}: initialize failed with {reply.status}")
        version = result.get("protocolVersion")
        if version not in LEGACY_VERSIONS:
            raise BadUpstream(why=f"{server}: initialize settled on a revision that nobody asked for")
        text = "" if given is None else given.decode("latin-1")
        note = calls.notification(call, server, "notifications/initialized", {}, session=text, version=version)
        await onward(note)
        return _Value(0, text, version, _can(result.get("capabilities")))


def _head(session: Session, server: str) -> StateKey:
    return ("mcp.behind", session.key, server)


def _place(session: Session, server: str, generation: int) -> StateKey:
    return ("mcp.behind", session.key, server, str(generation))


def _behind(server: str, value: bytes) -> Behind:
    said = _DECODER.decode(value)
    return Behind(server, said.generation, said.session, said.version, frozenset(said.can))


def _result(future: asyncio.Future[Behind]) -> Behind | None:
    done = future.done() and not future.cancelled() and future.exception() is None
    return future.result() if done else None


def _can(capabilities: Any) -> list[str]:
    """The names of its capabilities, and `resources.subscribe` for the one that matters inside of another."""
    if type(capabilities) is not dict:
        return []
    names = [name for name in capabilities if type(name) is str and len(name) <= 64][:32]
    resources = capabilities.get("resources")
    return [*names, "resources.subscribe"] if type(resources) is dict and resources.get("subscribe") else names

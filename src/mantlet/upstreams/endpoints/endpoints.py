"""One server at several endpoints: an `Upstream` that chooses where each call goes.

The choice is made before the first byte. A call that could not be sent (no connection, no room in the pool) goes to
another endpoint at once, within its deadline; one that was sent is never sent again here: whether that is safe is for
those to say who know what it means (`retry`). A legacy session lives at one endpoint and its sealed id says at which;
when that one is gone its sessions are not found, and their clients begin new ones (2025-11-25, "Session Management").
"""

from collections.abc import Collection, Sequence
from typing import Final

from mantlet.core.call import Call, Reply
from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.refusal import (
    BreakerOpen,
    EraUnavailable,
    Overloaded,
    Refusal,
    SessionNotFound,
    UpstreamUnavailable,
)
from mantlet.core.stream import Lasting
from mantlet.upstreams.balance.pickers import Picker
from mantlet.upstreams.endpoints.endpoint import MARK_BYTES, Endpoint
from mantlet.upstreams.endpoints.group import Changed, Group, Settings
from mantlet.upstreams.guarded.verdict import is_answer, is_failed_reply, is_failure
from mantlet.upstreams.room import Room
from mantlet.upstreams.transports.http.session import OpenedIds

MAX_TRIES: Final = 5
"""Endpoints that one call is offered to, when none can be reached."""
NOTE: Final = "endpoint"
"""Where the record of a call says which one served it."""
_NOBODY: Final[frozenset[str]] = frozenset()


class Endpoints(Group):
    """`core.ports.Upstream`, for one loop. `sessions` opens the ids of legacy sessions, for servers that have any;
    `room` is for calls that wait for their client (`bridge`)."""

    def __init__(
        self,
        name: str,
        transport: str,
        endpoints: Sequence[Endpoint],
        picker: Picker[Endpoint],
        settings: Settings,
        *,
        clock: Clock = SYSTEM,
        sessions: OpenedIds | None = None,
        room: Room | None = None,
        changed: Changed = lambda server, endpoint, before: None,
    ) -> None:
        super().__init__(name, transport, endpoints, picker, settings, clock, changed)
        self._by_mark = {one.mark: one for one in endpoints}
        self._header = None if settings.affinity_header is None else settings.affinity_header.lower().encode()
        self._sessions = sessions
        self.room = Room(0) if room is None else room

    async def send(self, call: Call, /, tried: set[str] | None = None) -> Reply:
        """Carry `call` to one of the endpoints; see the port.

        `tried` are names to avoid where there are others, for whoever sends a call a second time; the names of those
        that were asked are added to it.
        """
        if call.session and call.era == "legacy" and self._sessions is not None:
            return await self._at_home(call, self._sessions.get(call.session, call.caller), tried)
        key = self._key(call) if self._picker.is_keyed else ""
        avoid: Collection[str] = _NOBODY
        if tried and any(one.name not in tried for one in self.usable):
            avoid = tried
        failed: Refusal | None = None
        for _ in range(MAX_TRIES):
            chosen = self._choose(call, key, avoid)
            if chosen is None:
                break
            endpoint, ticket = chosen
            if tried is not None:
                tried.add(endpoint.name)
            try:
                return await self._sent(call, endpoint, ticket)
            except (UpstreamUnavailable, Overloaded, EraUnavailable) as error:  # nothing was sent
                failed = error
                if isinstance(error, EraUnavailable):
                    self.spoken = self._eras()
                avoid = {*avoid, endpoint.name}
        if failed is None and (stranger := self._of_another_era(call)) is not None:
            return await stranger.transport.send(call)  # which says so in the words of its kind
        raise failed or self._none(self.usable)

    async def _at_home(self, call: Call, marked: bytes, tried: set[str] | None) -> Reply:
        """A call of a session, to where that lives."""
        endpoint = self._by_mark.get(marked[:MARK_BYTES])
        if endpoint is None:
            raise SessionNotFound(why="its endpoint is not there any more")
        if endpoint.health.is_gone and self._is_moved(endpoint):
            raise SessionNotFound(why=f"its endpoint {endpoint.name} is {endpoint.health.state}")
        ticket = 0
        if endpoint.breaker is not None:
            admitted = endpoint.breaker.admit()
            if admitted is None:
                raise self._none([endpoint])
            ticket = admitted
        if tried is not None:
            tried.add(endpoint.name)
        return await self._sent(call, endpoint, ticket)

    def _is_moved(self, gone: Endpoint) -> bool:
        return gone.health.state == "stopped" or any(one is not gone for one in self.usable)

    def _choose(self, call: Call, key: str, avoid: Collection[str]) -> tuple[Endpoint, int] | None:
        """Where to send it, and the breaker's ticket; None when nobody is left."""
        picker = self._picker
        while True:
            endpoint = picker.pick(key, avoid)
            if endpoint is None:
                return None
            spoken = endpoint.transport.spoken
            if spoken is None or call.era in spoken:
                if endpoint.breaker is None:
                    return endpoint, 0
                ticket = endpoint.breaker.admit()
                if ticket is not None:
                    return endpoint, ticket
            avoid = {*avoid, endpoint.name}

    async def _sent(self, call: Call, endpoint: Endpoint, ticket: int) -> Reply:
        breaker = endpoint.breaker
        began_s = self._monotonic()
        call.arrival.trail.notes[NOTE] = endpoint.name
        endpoint.in_flight += 1
        try:
            reply = await endpoint.transport.send(call)
        except BaseException as error:
            is_its_fault = isinstance(error, Refusal) and is_failure(
                call, error, self._monotonic() - began_s, self._settings.patience_s
            )
            if breaker is not None and is_answer(error):
                breaker.succeeded(ticket, self._monotonic() - began_s)
            elif breaker is not None:
                (breaker.failed if is_its_fault else breaker.cancelled)(ticket)
            if is_its_fault and isinstance(error, Refusal):
                self._failed(endpoint, error.why, unreached=isinstance(error, UpstreamUnavailable))
            raise
        finally:
            endpoint.in_flight -= 1
        if reply.status >= 500 and is_failed_reply(reply):
            if breaker is not None:
                breaker.failed(ticket)
            self._failed(endpoint, f"it answered {reply.status}", unreached=False)
        else:
            if breaker is not None and call.kind == "request":
                breaker.succeeded(ticket, self._monotonic() - began_s)
            elif breaker is not None:
                breaker.cancelled(ticket)  # that a message was taken does not say that any is answered
            if not endpoint.health.is_quiet:
                self._settle(endpoint, endpoint.health.call_ok)
        if not isinstance(reply.body, bytes):
            endpoint.in_flight += 1
            reply.body = Lasting(reply.body, endpoint.left)
        return reply

    def _key(self, call: Call) -> str:
        """What keeps calls together: a header, else the session, else the caller."""
        if self._header is not None:
            value = call.arrival.headers.get(self._header)
            if value is not None:
                return value.decode("latin-1")
        return call.session or "\0".join(call.caller.key)

    def _of_another_era(self, call: Call) -> Endpoint | None:
        """One of those that can be used, where none of them speaks the call's era of MCP."""
        found = None
        for one in self.usable:
            spoken = one.transport.spoken
            if spoken is None or call.era in spoken:
                return None
            found = one
        return found

    def _none(self, among: Sequence[Endpoint]) -> Refusal:
        """Why no endpoint can take a call."""
        waits = [one.breaker.retry_after_s for one in among if one.breaker is not None]
        if waits:
            return BreakerOpen(why=f"the breakers at {self._name} are open", retry_after_s=min(waits))
        said = "; ".join(f"{one.name} {one.health.state}" for one in self.endpoints[:8])
        return UpstreamUnavailable(why=f"no endpoint can be used: {said}")

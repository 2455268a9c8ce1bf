"""`subscriptions/listen` at the endpoint of all servers: one subscription of the client, one behind it with each server
that it concerns (2026-07-28, basic/patterns/subscriptions).

It is acknowledged once: with what the servers agreed to, when all have said so or the time for lists is over. Who has
not answered by then is counted as willing, since it is asked again until it answers. A server that went away and came
back may have changed meanwhile, and nobody would tell: its client is told that what it asked for has changed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from mantlet.core.call import Call, Reply
from mantlet.core.policy import CallHandler
from mantlet.core.refusal import Denied, InvalidJson, InvalidParams, Refusal
from mantlet.policies.aggregate.changes import CHANGED, Changes
from mantlet.policies.aggregate.merged import Merged, refuse_no_stream
from mantlet.policies.aggregate.source import OFFERS_NONE, OPEN_TIMEOUT_S, NoStream, keep_open
from mantlet.wire import jsonrpc
from mantlet.wire.event_stream import EventStream
from mantlet.wire.mcp import calls
from mantlet.wire.mcp.methods import META_SUBSCRIPTION

MAX_URIS: Final = 1_000
"""Resources, and tasks, of one subscription."""
URIS: Final = "resourceSubscriptions"
TASKS: Final = "taskIds"
KINDS: Final = tuple(CHANGED.values())
_METHOD_OF: Final = {member: method for method, member in CHANGED.items()}
_UPDATED: Final = "notifications/resources/updated"
_ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
_PASSED: Final = frozenset({_UPDATED, "notifications/tasks"})
_BOUNDS: Final = jsonrpc.Bounds(max_depth=64, max_keys=1_000_000)
_REFUSED: Final = frozenset({-32601, -32602, -32021})
"""Errors of a server that will say the same tomorrow."""

Filter = dict[str, Any]
"""`notifications` of one listen."""
Changed = Callable[[str, str], None]
"""Told of a server and a `list_changed` method of it."""


def wanted(call: Call) -> Filter:
    """The client's filter, checked. Raises `InvalidParams`."""
    said = call.params.get("notifications")
    if type(said) is not dict:
        raise InvalidParams('"notifications" must be an object.')
    for member in KINDS:
        if said.get(member) not in (None, True, False):
            raise InvalidParams(f'"notifications.{member}" must be a boolean.')
    for member in (URIS, TASKS):
        items = said.get(member, [])
        if type(items) is not list or not all(type(item) is str for item in items):
            raise InvalidParams(f'"notifications.{member}" must be a list of strings.')
        if len(items) > MAX_URIS:
            raise InvalidParams(f'"notifications.{member}" has more than {MAX_URIS} items.')
    return said


class Listening:
    """Opens merged subscriptions."""

    def __init__(
        self,
        merged: Merged,
        *,
        changed: Changed,
        monotonic: Callable[[], float],
        chance: Callable[[], float],
        acknowledge_within_s: float,
    ) -> None:
        self._merged = merged
        self._changed = changed
        self._monotonic = monotonic
        self._chance = chance
        self._within_s = acknowledge_within_s

    def open(self, call: Call, filters: Mapping[str, Filter], onward: CallHandler) -> Reply:
        """The client's stream, fed by a listen to each server of `filters`."""
        refuse_no_stream(call)
        return self._merged.open(call, lambda stream: self._fill(call, filters, onward, stream))

    async def _fill(self, call: Call, filters: Mapping[str, Filter], onward: CallHandler, stream: EventStream) -> bytes:
        listen = Listen(call.message["id"], filters, stream, self._changed)
        try:
            async with asyncio.TaskGroup() as group:
                for server in filters:
                    part = Part(listen, server, filters[server])
                    group.create_task(
                        keep_open(self._opening(call, part, onward), part.heard, part.failed, self._chance)
                    )
                await listen.settled_within(self._within_s)
                listen.acknowledge()
                await listen.behind.wait()  # until the client leaves, or reads too slowly
                raise NoStream
        except* NoStream:
            pass
        finally:
            listen.close()
        return b""

    def _opening(self, call: Call, part: "Part", onward: CallHandler) -> Callable[[], Awaitable[Reply]]:
        async def open_() -> Reply:
            params = {**calls.list_params(call, None), "notifications": part.filter}
            deadline_s = self._monotonic() + OPEN_TIMEOUT_S
            sub = calls.request(call, part.server, "subscriptions/listen", params, session="", deadline_s=deadline_s)
            try:
                return await onward(sub)
            except Denied:
                if URIS not in part.filter or len(part.filter) == 1:
                    raise
                # One resource that the caller may not have is no reason to tell it nothing of the lists.
                part.filter = {name: value for name, value in part.filter.items() if name != URIS}
                return await open_()

        return open_


class Listen:
    """The client's subscription: what it was promised and what it is told."""

    def __init__(self, raw_id: object, filters: Mapping[str, Filter], stream: EventStream, changed: Changed) -> None:
        self.changed = changed
        self.behind = asyncio.Event()
        """Set when the client reads too slowly to be told more."""
        self._meta = {META_SUBSCRIPTION: raw_id}
        self._stream = stream
        self._filters = filters
        self._agreed: dict[str, Filter] = {}
        self._unsettled = set(filters)
        self._awaited = set(filters)
        self._settled = asyncio.Event()
        self._promised: Filter | None = None
        self._early: dict[bytes, None] = {}
        self._changes = Changes(self._tell_change)

    async def settled_within(self, timeout_s: float) -> None:
        """Wait until every server has answered, but not longer."""
        if not self._awaited:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        except TimeoutError:
            pass

    def settle(self, server: str, agreed: Filter) -> None:
        """What `server` agreed to, or nothing."""
        self._agreed[server] = agreed
        self._unsettled.discard(server)
        self.pass_over(server)

    def pass_over(self, server: str) -> None:
        """Nobody waits for `server`; what it was asked for is promised all the same, unless it has said no."""
        self._awaited.discard(server)
        if not self._awaited:
            self._settled.set()

    def acknowledge(self) -> None:
        """The first message, and all that waited for it."""
        given = [*self._agreed.values(), *(self._filters[server] for server in self._unsettled)]
        promised: Filter = {kind: True for kind in KINDS if any(part.get(kind) is True for part in given)}
        for member in (URIS, TASKS):
            if items := [item for part in given for item in part.get(member, ())]:
                promised[member] = items
        self._promised = promised
        self._push(_ACKNOWLEDGED, {"notifications": promised})
        for message in self._early:
            self._send(message)
        self._early.clear()

    def tell(self, method: str, params: Mapping[str, Any]) -> None:
        """An event; changes of lists are told a moment later, once."""
        if method in CHANGED:
            self._changes.note(method)
        else:
            self._push(method, params)

    def close(self) -> None:
        """Nothing more is told."""
        self._changes.close()

    def _tell_change(self, method: str) -> None:
        if self._promised is None or self._promised.get(CHANGED[method]):
            self._push(method, {})

    def _push(self, method: str, params: Mapping[str, Any]) -> None:
        theirs = params.get("_meta")
        meta = {**theirs, **self._meta} if type(theirs) is dict else self._meta
        message = jsonrpc.encode({"jsonrpc": "2.0", "method": method, "params": {**params, "_meta": meta}})
        if self._promised is not None:
            self._send(message)
        elif len(self._early) < MAX_URIS:
            self._early[message] = None  # once each, as the client could not tell them apart
        else:
            self.behind.set()

    def _send(self, message: bytes) -> None:
        if not self._stream.push(message):
            self.behind.set()


class Part:
    """One server's share of a subscription."""

    def __init__(self, listen: Listen, server: str, filter_: Filter) -> None:
        self.server = server
        self.filter = filter_
        self._listen = listen
        self._was_open = False

    def failed(self, refusal: Refusal) -> None:
        """It did not open, or broke: it is tried again, and nobody waits for that."""
        if isinstance(refusal, OFFERS_NONE):
            self._listen.settle(self.server, {})
        else:
            self._listen.pass_over(self.server)

    async def heard(self, data: bytes) -> None:
        """One message of the server. Raises `NoStream` when it says that it offers none."""
        try:
            message = jsonrpc.decode(data, _BOUNDS)
        except InvalidJson:
            return
        if type(message) is not dict:
            return
        if "error" in message:
            error = message["error"]
            self._listen.settle(self.server, {})
            if type(error) is dict and error.get("code") in _REFUSED:
                raise NoStream
            return
        method, params = message.get("method"), message.get("params", {})
        if type(method) is not str or type(params) is not dict:
            return
        if method == _ACKNOWLEDGED:
            self._acknowledged(params.get("notifications"))
        elif method in CHANGED:
            self._listen.changed(self.server, method)
            if self.filter.get(CHANGED[method]):
                self._listen.tell(method, {})
        elif method in _PASSED and (URIS if method == _UPDATED else TASKS) in self.filter:
            self._listen.tell(method, params)

    def _acknowledged(self, agreed: object) -> None:
        given: Filter = {}
        if type(agreed) is dict:
            given = {kind: True for kind in KINDS if agreed.get(kind) is True and self.filter.get(kind)}
            for member in (URIS, TASKS):
                items = agreed.get(member)
                if type(items) is list and member in self.filter:
                    given[member] = [item for item in self.filter[member] if item in items]
        self._listen.settle(self.server, given)
        if self._was_open:
            self._tell_gap(given)
        self._was_open = True

    def _tell_gap(self, agreed: Filter) -> None:
        for kind in KINDS:
            if agreed.get(kind):
                self._listen.changed(self.server, _METHOD_OF[kind])
                self._listen.tell(_METHOD_OF[kind], {})
        for uri in agreed.get(URIS, ()):
            self._listen.tell(_UPDATED, {"uri": uri})


def share(
    asked: Filter, servers: Sequence[str], uris: Mapping[str, str], tasks: Mapping[str, str]
) -> dict[str, Filter]:
    """What each server is asked for: changes of lists from all, a resource or task from the one it belongs to."""
    kinds = {kind: True for kind in KINDS if asked.get(kind) is True}
    filters: dict[str, Filter] = {server: dict(kinds) for server in servers} if kinds else {}
    for member, owners in ((URIS, uris), (TASKS, tasks)):
        for item in dict.fromkeys(asked.get(member, ())):
            server = owners.get(item)
            if server is not None and server in servers:
                filters.setdefault(server, {}).setdefault(member, []).append(item)
    return filters

"""The endpoint of all servers: answers for the whole, and leads each call to the one server it is for.

Everything it asks of a server goes down the same path as a caller's own call to that server would, as that caller: so
rights, limits and filters are decided in one place and a name here never opens what it does not open there. A virtual
server is the same with a view before it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from mantlet.core.call import Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.headers import JSON, Headers
from mantlet.core.policy import CallHandler
from mantlet.core.refusal import Denied, InvalidParams, MethodNotFound, ResourceNotFound
from mantlet.policies.aggregate.alarms import Alarms
from mantlet.policies.aggregate.catalogue import Catalogue, Learnt
from mantlet.policies.aggregate.fanout import Fanout
from mantlet.policies.aggregate.legacy import Legacy
from mantlet.policies.aggregate.listen import TASKS, URIS, Listening, share, wanted
from mantlet.policies.aggregate.merge import discovered, initialized, merged
from mantlet.policies.aggregate.names import Owned
from mantlet.policies.aggregate.pages import Pages, from_position
from mantlet.policies.aggregate.places import Places
from mantlet.policies.aggregate.recent import Recent
from mantlet.policies.aggregate.session import Session
from mantlet.policies.aggregate.view import View
from mantlet.wire import jsonrpc
from mantlet.wire.mcp import inbound
from mantlet.wire.mcp.header_values import encode_value
from mantlet.wire.mcp.methods import LISTS, NAMED_BY, TASK_METHODS, reference_of

Reach = Callable[[Caller, str], bool]
TaskServer = Callable[[str, Caller], str | None]
"""Which server a caller's task id leads to; None for what is not the caller's."""

_KIND_OF: Final = {"tools/call": "tools", "prompts/get": "prompts"}
_LISTED: Final = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resources",
}


@dataclass(frozen=True, slots=True)
class At:
    """Who asks, and what there is to it: the servers within reach, the view, a legacy call's session."""

    servers: Sequence[str]
    view: View | None
    session: Session | None
    onward: CallHandler


class Aggregate:
    """The policy in front of all others that see a call: it gives every call its server."""

    def __init__(
        self,
        servers: Sequence[str],
        *,
        catalogue: Catalogue,
        fanout: Fanout,
        legacy: Legacy,
        listening: Listening,
        pages: Pages,
        alarms: Alarms,
        recent: Recent,
        streams: Places,
        may_reach: Reach,
        task_server: TaskServer,
        views: Mapping[str, View],
        name: str,
        version: str,
    ) -> None:
        self._servers = tuple(servers)
        self._catalogue = catalogue
        self._fanout = fanout
        self._legacy = legacy
        self._listening = listening
        self._pages = pages
        self._alarms = alarms
        self._recent = recent
        self.streams = streams
        """How many are open here."""
        self._may_reach = may_reach
        self._task_server = task_server
        self._views = views
        self._identity = (name, version)

    def __call__(self, call: Call, onward: CallHandler, /) -> Awaitable[Reply]:
        """Answer for the whole, lead on, or pass on a call that names its server."""
        return onward(call) if call.server else self._whole(call, onward)

    async def _whole(self, call: Call, onward: CallHandler) -> Reply:
        reachable = [server for server in self._servers if self._may_reach(call.caller, server)]
        if not reachable:
            raise Denied("No rule lets this caller use any server here.", why="no server within reach")
        session = None
        if call.era == "legacy" and call.method != "initialize":
            session = await self._legacy.ids.find(call)
        view = None
        if call.view:
            call.trail.notes["virtual"] = call.view
            view = self._views[call.view]
        at = At(reachable, view, session, onward)
        if call.kind != "request":
            return await self._unasked(call, at)
        return await self._request(call, at)

    async def _request(self, call: Call, at: At) -> Reply:
        call.trail.rule = "aggregate"
        match call.method:
            case "initialize":
                return self._initialize(call, at)
            case "server/discover":
                return _answer(call, discovered(*self._identity, at.view))
            case "ping":
                return _answer(call, {})
            case method if method in LISTS:
                return await self._list(call, at)
            case "tools/call" | "prompts/get":
                return await self._named(call, at)
            case "resources/read" | "resources/subscribe" | "resources/unsubscribe":
                return await self._lead(call, await self._resource(call, call.target, at), at)
            case "completion/complete":
                return await self._complete(call, at)
            case "subscriptions/listen":
                return await self._listen(call, at)
            case "logging/setLevel" if at.session is not None:
                await self._legacy.set_level(call, at.session, at.servers, at.onward)
                return _answer(call, {})
            case method if method in TASK_METHODS:
                return await self._task(call, at)
        raise MethodNotFound(f"{call.method[:100]} is not served at /mcp; use /mcp/SERVER.")

    async def _unasked(self, call: Call, at: At) -> Reply:
        if at.session is None:
            return Reply(202, [], origin="node")  # the newer revision defines none over HTTP
        match call.kind:
            case "stream":
                return await self._legacy.stream(call, at.session, at.servers, at.onward)
            case "end":
                await self._legacy.end(call, at.session, at.servers, at.onward)
                return Reply(204, [], origin="node")
            case "response":
                await self._legacy.responded(call, at.session, at.servers, at.onward)
            case _:
                await self._legacy.notified(call, at.session, at.servers, at.onward)
        return Reply(202, [], origin="node")

    def _initialize(self, call: Call, at: At) -> Reply:
        reply = _answer(call, initialized(call.params.get("protocolVersion"), *self._identity, at.view))
        reply.headers.append((inbound.SESSION_ID, self._legacy.ids.begin(call).encode()))
        return reply

    # --- lists

    async def _list(self, call: Call, at: At) -> Reply:
        kind = _LISTED[call.method]
        if at.view is not None and not at.view.has(kind):
            return _raw(call, merged(call.method, (), "", {}, call.era))
        position = self._pages.position(call)
        learnt, errors = await self._learn(call.method, call, at, from_position(at.servers, position))
        items = learnt.items
        if at.view is not None:
            items = [item for item in items if at.view.shows(kind, item.name, item.owned)]
        page, cursor = self._pages.cut(call, items, position)
        return _raw(call, merged(call.method, page, cursor, errors, call.era))

    async def _learn(self, method: str, call: Call, at: At, servers: Sequence[str]) -> tuple[Learnt, Mapping[str, str]]:
        found, errors = await self._fanout.lists(call, servers, at.session, at.onward, method=method)
        learnt = await self._catalogue.learn(method, found)
        if learnt.withheld or learnt.renamed:
            self._alarms.raise_for(_LISTED[method], learnt, call.trail)
        return learnt, errors

    async def _look(self, kind: str, call: Call, at: At) -> bool:
        """Look for something unknown in all lists of its kind; False when that was done a moment ago."""
        if self._recent.has(kind, call.caller):
            return False
        methods = [method for method, listed in _LISTED.items() if listed == kind]
        async with asyncio.TaskGroup() as group:
            for method in methods:
                group.create_task(self._learn(method, call, at, at.servers))
        # At the end: who looks meanwhile must not be told that there is nothing before there was time to find it.
        self._recent.note(kind, call.caller)
        return True

    # --- items

    async def _named(self, call: Call, at: At) -> Reply:
        kind = _KIND_OF[call.method]
        return await self._lead(call, await self._owner(call, kind, call.target, at), at)

    async def _owner(self, call: Call, kind: str, exposed: str, at: At) -> Owned:
        owned = await self._catalogue.owner(kind, exposed)
        if owned is None and await self._look(kind, call, at):
            owned = await self._catalogue.owner(kind, exposed)
        if owned is None or owned.server not in self._servers or not _is_shown(at.view, kind, exposed, owned):
            raise InvalidParams(f"Unknown {kind.removesuffix('s')}: {exposed[:128]}")
        return owned

    async def _complete(self, call: Call, at: At) -> Reply:
        if reference_of(call.params)[0] == "prompts/get":
            return await self._lead(call, await self._owner(call, "prompts", call.target, at), at)
        return await self._lead(call, await self._resource(call, call.target, at), at)

    async def _resource(self, call: Call, uri: str, at: At) -> Owned:
        server = self._catalogue.server_of(uri)
        if server is None and await self._look("resources", call, at):
            server = self._catalogue.server_of(uri)
        if server is None or not _is_shown(at.view, "resources", uri, Owned(server, uri)):
            raise ResourceNotFound(uri)
        return Owned(server, uri)

    async def _task(self, call: Call, at: At) -> Reply:
        server = self._task_server(call.target, call.caller)
        if server is None or server not in at.servers:
            raise InvalidParams("Task not found.")
        return await self._lead(call, Owned(server, call.target), at)

    async def _lead(self, call: Call, owned: Owned, at: At) -> Reply:
        led = renamed(call, owned) if owned.name != call.target else replace(call, server=owned.server)
        led.trail.server = owned.server
        if at.session is None:
            return await at.onward(led)
        return await self._legacy.lead(call, led, at.session, at.onward)

    # --- subscriptions

    async def _listen(self, call: Call, at: At) -> Reply:
        asked = wanted(call)
        uris: dict[str, str] = {}
        for uri in asked.get(URIS, ()):
            try:
                uris[uri] = (await self._resource(call, uri, at)).server
            except InvalidParams:
                continue  # the acknowledgement leaves it out, as the specification has it for what is not supported
        tasks = {text: server for text in asked.get(TASKS, ()) if (server := self._task_server(text, call.caller))}
        return self._listening.open(call, share(asked, at.servers, uris, tasks), at.onward)


def renamed(call: Call, owned: Owned) -> Call:
    """`call` for a server that knows the item by another name: the one place where a body is written anew."""
    member = NAMED_BY.get(call.method)
    params: dict[str, Any] = dict(call.params)
    if member is not None:
        params[member] = owned.name
    else:
        params["ref"] = {**params["ref"], "name": owned.name}
    message: Mapping[str, Any] = {**call.message, "params": params}
    fields = [
        (name, encode_value(owned.name) if name == inbound.NAME else value) for name, value in call.arrival.headers
    ]
    return replace(
        call,
        arrival=replace(call.arrival, headers=Headers(fields)),
        server=owned.server,
        target=owned.name,
        params=params,
        message=message,
        body=jsonrpc.encode(message),
    )


def _is_shown(view: View | None, kind: str, exposed: str, owned: Owned) -> bool:
    return view is None or view.shows(kind, exposed, owned)


def _answer(call: Call, result: Mapping[str, Any]) -> Reply:
    assert call.id is not None
    return Reply(200, [JSON], jsonrpc.result(call.id, result), origin="node")


def _raw(call: Call, result: bytes) -> Reply:
    assert call.id is not None
    return Reply(200, [JSON], b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (call.id, result), origin="node")

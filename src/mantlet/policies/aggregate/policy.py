"""The endpoint of all servers: answers for the whole, and leads each call to the one server it is for.

Everything it asks of a server goes down the same path as a caller's own call to that server would, as that caller: so
rights, limits and filters are decided in one place and a name here never opens what it does not open there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mantlet.core.call import Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.headers import Headers
from mantlet.core.policy import CallHandler
from mantlet.core.ports import Names
from mantlet.core.refusal import Denied, InvalidParams, InvalidRequest, MethodNotAllowed, MethodNotFound
from mantlet.policies.aggregate.catalogue import Catalogue
from mantlet.policies.aggregate.fanout import Fanout
from mantlet.policies.aggregate.merge import discovered, initialized, merged
from mantlet.policies.aggregate.names import Owned
from mantlet.policies.aggregate.sessions import Sessions
from mantlet.wire import jsonrpc
from mantlet.wire.mcp import inbound
from mantlet.wire.mcp.header_values import encode_value
from mantlet.wire.mcp.methods import LISTS, NAMED_BY, reference_of

Reach = Callable[[Caller, str], bool]

_JSON = (b"content-type", b"application/json")
_KIND_OF = {"tools/call": "tools", "prompts/get": "prompts"}


class Aggregate:
    """The policy in front of all others that see a call: it gives every call its server."""

    def __init__(
        self,
        servers: Sequence[str],
        *,
        names: Names,
        sessions: Sessions,
        may_reach: Reach,
        list_timeout_s: float,
        monotonic: Callable[[], float],
        name: str,
        version: str,
    ) -> None:
        self._servers = tuple(servers)
        self._sessions = sessions
        self._may_reach = may_reach
        self._catalogue = Catalogue(self._servers, names)
        self._fanout = Fanout(sessions, list_timeout_s, monotonic)
        self._identity = (name, version)

    async def __call__(self, call: Call, onward: CallHandler, /) -> Reply:
        """Answer for the whole, lead on, or pass on a call that names its server."""
        if call.server:
            return await onward(call)
        reachable = [server for server in self._servers if self._may_reach(call.caller, server)]
        if not reachable:
            raise Denied("No rule lets this caller use any server here.", why="no server within reach")
        if call.kind != "request":
            return await self._unasked(call, onward)
        if call.era == "legacy" and call.method != "initialize":
            self._sessions.check(call)
        return await self._request(call, reachable, onward)

    async def _request(self, call: Call, reachable: Sequence[str], onward: CallHandler) -> Reply:
        call.trail.rule = "aggregate"
        match call.method:
            case "initialize":
                return self._initialize(call)
            case "server/discover":
                return _answer(call, discovered(*self._identity))
            case "ping":
                return _answer(call, {})
            case method if method in LISTS:
                return await self._list(call, reachable, onward)
            case "tools/call" | "prompts/get":
                return await self._named(call, reachable, onward)
            case "resources/read" | "completion/complete":
                return await self._resource(call, reachable, onward)
        raise MethodNotFound(f"{call.method[:100]} is not served at /mcp; use /mcp/SERVER.")

    async def _unasked(self, call: Call, onward: CallHandler) -> Reply:
        if call.kind == "stream":
            raise MethodNotAllowed("POST, DELETE", "The endpoint of all servers offers no stream; use /mcp/SERVER.")
        if call.kind == "end":
            for sub in self._sessions.end(call):
                await onward(sub)
            return Reply(204, [], origin="node")
        if call.kind == "response":
            raise InvalidRequest("The endpoint of all servers asks its clients nothing.")
        for sub in self._sessions.cancelled(call):
            await onward(sub)
        return Reply(202, [], origin="node")

    def _initialize(self, call: Call) -> Reply:
        reply = _answer(call, initialized(call.params.get("protocolVersion"), *self._identity))
        reply.headers.append((inbound.SESSION_ID, self._sessions.begin(call).encode()))
        return reply

    async def _list(self, call: Call, reachable: Sequence[str], onward: CallHandler) -> Reply:
        if call.params.get("cursor") is not None:
            raise InvalidParams("The list is one page; it gives no cursors.")
        found, errors = await self._fanout.lists(call, reachable, onward)
        learnt = await self._catalogue.learn(call.method, found)
        if learnt.withheld:
            call.trail.notes["withheld"] = learnt.say_withheld()
        return _answer(call, merged(call.method, learnt.items, errors, call.era))

    async def _named(self, call: Call, reachable: Sequence[str], onward: CallHandler) -> Reply:
        kind = _KIND_OF[call.method]
        owned = await self._catalogue.owner(kind, call.target)
        if owned is None:
            await self._learn(f"{kind}/list", call, reachable, onward)
            owned = await self._catalogue.owner(kind, call.target)
        if owned is None or owned.server not in self._servers:
            raise InvalidParams(f"Unknown {kind.removesuffix('s')}: {call.target[:128]}")
        return await self._lead(call, owned, onward)

    async def _resource(self, call: Call, reachable: Sequence[str], onward: CallHandler) -> Reply:
        if call.method == "completion/complete" and reference_of(call.params)[0] == "prompts/get":
            owned = await self._catalogue.owner("prompts", call.target)
            if owned is None:
                raise InvalidParams(f"Unknown prompt: {call.target[:128]}")
            return await self._lead(call, owned, onward)
        server = self._catalogue.server_of(call.target)
        if server is None:
            await self._learn("resources/list", call, reachable, onward)
            await self._learn("resources/templates/list", call, reachable, onward)
            server = self._catalogue.server_of(call.target)
        if server is None:
            raise InvalidParams("Unknown resource.")
        return await self._lead(call, Owned(server, call.target), onward)

    async def _learn(self, method: str, call: Call, reachable: Sequence[str], onward: CallHandler) -> None:
        found, _ = await self._fanout.lists(call, reachable, onward, method=method)
        await self._catalogue.learn(method, found)

    async def _lead(self, call: Call, owned: Owned, onward: CallHandler) -> Reply:
        led = renamed(call, owned) if owned.name != call.target else replace(call, server=owned.server)
        led.trail.server = owned.server
        if call.era == "legacy":
            led.session = await self._sessions.at(owned.server, call, onward)
        return await self._sessions.under_way(call, led, onward)


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


def _answer(call: Call, result: Mapping[str, Any]) -> Reply:
    assert call.id is not None
    return Reply(200, [_JSON], jsonrpc.result(call.id, result), origin="node")

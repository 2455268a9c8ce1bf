"""What the WebSocket listener answers: opening handshakes, tickets, and nothing else."""

from collections.abc import Awaitable, Callable, Collection
from typing import Final

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.policy import ArrivalHandler
from mantlet.core.refusal import (
    AmbiguousCredentials,
    InvalidCredential,
    Malformed,
    MethodNotAllowed,
    NotFound,
    NotOffered,
)
from mantlet.listeners.http.handover import Handover
from mantlet.listeners.messages.carrier import Terms
from mantlet.listeners.websocket import handshake
from mantlet.listeners.websocket.config import WebSocketConfig
from mantlet.listeners.websocket.connection import WebSocketConnection
from mantlet.listeners.websocket.handshake import Offer
from mantlet.listeners.websocket.tickets import Tickets
from mantlet.wire import jsonrpc

ENDPOINT: Final = "/mcp"
Identify = Callable[[Arrival], Awaitable[Caller]]
_CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key"})
_JSON: Final = (b"content-type", b"application/json")


class WebSocketDoor:
    """Policies and handler of the listener; `node` puts `record` in front.

    `endpoints` are the MCP endpoints as HTTP knows them (`/mcp`, `/mcp/SERVER`). `identify` authenticates as any
    request is (AUTHN-01); `holds` asks again of whoever shows a ticket.
    """

    def __init__(
        self,
        config: WebSocketConfig,
        terms: Terms,
        tickets: Tickets,
        endpoints: Collection[str],
        *,
        identify: Identify,
        holds: Callable[[Caller], Awaitable[bool]],
        note: Callable[[Arrival, Caller], None],
    ) -> None:
        self._config, self._terms, self._tickets = config, terms, tickets
        self._identify, self._holds, self._note = identify, holds, note
        self._endpoints = {config.mcp_path + path.removeprefix(ENDPOINT): path for path in endpoints}
        self._ticket_path = f"{config.mcp_path}/ticket"

    async def authenticate(self, arrival: Arrival, onward: ArrivalHandler, /) -> Reply:
        """The policy that says who opens: by credential, or for a page by ticket. Never by both (AUTHN-02)."""
        # Nothing of the path yet: which servers there are is not for strangers.
        arrival.trail.action = f"{arrival.verb} {self._config.mcp_path}"
        ticket = handshake.ticket_of(arrival)
        if ticket:
            if arrival.headers.has_any(_CREDENTIALS):
                raise AmbiguousCredentials(why="a ticket and a credential")
            caller = await self._tickets.take(ticket, arrival.headers.get(b"origin") or b"")
            if not await self._holds(caller):
                raise InvalidCredential("ticket: its owner's credential no longer holds")
            self._note(arrival, caller)
        else:
            caller = await self._identify(arrival)
        arrival.caller = caller
        return await onward(arrival)

    async def handle(self, arrival: Arrival) -> Reply:
        """Answer who has been authenticated."""
        caller = arrival.caller
        assert caller is not None
        # By the method too: a server may be called `ticket`, and its handshakes are GETs.
        if arrival.path == self._ticket_path and arrival.verb == "POST":
            return await self._ticket(arrival, caller)
        offer, path, peer = self._offer(arrival), self._endpoints[arrival.path], arrival.peer
        self._terms.check_room(caller)

        def upgrade(handover: Handover) -> WebSocketConnection:
            return WebSocketConnection(handover, self._config, self._terms, caller, path, peer)

        return Reply(101, offer.fields, origin="node", upgrade=upgrade)

    def _offer(self, arrival: Arrival) -> Offer:
        trail = arrival.trail
        if arrival.path == self._config.path:
            trail.action = f"{arrival.verb} {self._config.path}"
            raise NotOffered("Events of tasks are not offered in this version.")
        if arrival.path not in self._endpoints:
            raise NotFound
        trail.server = self._endpoints[arrival.path].removeprefix(ENDPOINT).removeprefix("/")
        if arrival.verb != "GET":
            raise MethodNotAllowed("GET")
        return handshake.read(arrival)

    async def _ticket(self, arrival: Arrival, caller: Caller) -> Reply:
        arrival.trail.action = f"POST {self._ticket_path}"
        if await arrival.read():
            raise Malformed("A ticket is asked for without a body.")
        ticket = await self._tickets.issue(caller, arrival.headers.get(b"origin") or b"")
        answer = {
            "ticket": ticket,
            "subprotocols": ["mcp", handshake.TICKET_PREFIX.decode() + ticket],
            "expires_in": int(self._config.ticket_lifetime),
        }
        return Reply(200, [_JSON, (b"cache-control", b"no-store")], jsonrpc.encode(answer), origin="node")

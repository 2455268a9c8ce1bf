"""Many clients on one line channel, without IO (MCP-05).

Each request gets an id of its own on this hop, its answer goes back under the client's own. Ids rise by one, so of an
answer that nobody waits for it can be told whether it is late (or repeated) or was never asked for. What cannot be
attributed to exactly one call or session is dropped and counted: on a shared channel a wrong guess is a leak.

A log message (`notifications/message`) names no request. It is given to the only call it can belong to: one is in
flight, and every call that was given up while the child may still work on it was the same caller's. Else it is dropped.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from mantlet.core.call import Era
from mantlet.core.refusal import BadUpstream, Overloaded, Refusal
from mantlet.upstreams.transports.channel import envelope
from mantlet.upstreams.transports.channel.envelope import Incoming
from mantlet.wire import jsonrpc
from mantlet.wire.mcp.methods import META_SUBSCRIPTION

Owner = tuple[str, ...]

MAX_GIVEN_UP: Final = 1_024
"""Given-up calls remembered until they are answered; with more, log messages are no longer attributed."""

_ANSWER_HEAD: Final = re.compile(
    rb'\s*\{\s*"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*([0-9]{1,18})\s*,\s*"(?:result|error)"'
)
_LIST_CHANGED: Final = frozenset(
    {
        "notifications/tools/list_changed",
        "notifications/prompts/list_changed",
        "notifications/resources/list_changed",
    }
)
_UPDATED: Final = "notifications/resources/updated"


class Receiver(Protocol):
    """Who waits for an answer. Called in the order of the channel; none may raise."""

    def on_answer(self, body: bytes, code: int | None, /) -> None:
        """The response, under the client's id; `code` is that of an error. The last thing said."""
        ...

    def on_note(self, body: bytes, /) -> bool:
        """A message that belongs to this call; False when it cannot be passed on."""
        ...

    def on_lost(self, refusal: Refusal, /) -> None:
        """No answer comes any more. The last thing said."""
        ...


@dataclass(slots=True)
class Pending:
    """A request in flight: whose it is and how its client names it. Ids and tokens are raw JSON."""

    hop_id: int
    raw_id: bytes
    owner: Owner
    receiver: Receiver
    token: bytes | None
    is_listen: bool
    wants_log: bool
    timer: asyncio.TimerHandle | None = None
    """Its deadline."""


@dataclass(slots=True)
class Counters:
    """Lines of a child that went nowhere, by reason."""

    garbage: int = 0
    oversized: int = 0
    unknown: int = 0
    """Answers to nothing we asked."""
    late: int = 0
    """Answers that come a second time or after the call was given up."""
    unattributed: int = 0
    """Notifications that belong to no one call."""
    requests: int = 0
    """Requests of the child, which is offered no client capability."""


class Mux:
    """One channel's calls. `broadcast(method, uri, body)` gets what belongs to legacy sessions rather than to calls."""

    def __init__(self, *, max_pending: int, broadcast: Callable[[str, str, bytes], None]) -> None:
        self.era: Era = "legacy"
        self.counters = Counters()
        self._max_pending = max_pending
        self._broadcast = broadcast
        self._next_id = 1
        self._pending: dict[int, Pending] = {}
        self._given_up: dict[int, Owner] = {}
        self._is_muddled = False

    def __len__(self) -> int:
        return len(self._pending)

    def open(
        self,
        body: bytes,
        raw_id: bytes,
        owner: Owner,
        receiver: Receiver,
        *,
        token: bytes | None = None,
        is_listen: bool = False,
        wants_log: bool = False,
    ) -> tuple[Pending, bytes]:
        """Begin a call: what to remember it by, and the line to send. Raises `Overloaded`."""
        if len(self._pending) >= self._max_pending:
            raise Overloaded(why=f"{len(self._pending)} calls are in flight on one child")
        hop_id = self._next_id
        line = envelope.request_line(body, hop_id, has_token=token is not None)
        self._next_id = hop_id + 1
        pending = Pending(hop_id, raw_id, owner, receiver, token, is_listen, wants_log)
        self._pending[hop_id] = pending
        return pending, line

    def give_up(self, pending: Pending, reason: str) -> bytes | None:
        """Forget a call. Gives the line that tells the child to stop, or None when the call has ended already."""
        if self._pending.get(pending.hop_id) is not pending:  # ended, or of a channel before this one
            return None
        del self._pending[pending.hop_id]
        if pending.is_listen:
            pass  # what a subscription yields names the subscription: nothing to guess later
        elif len(self._given_up) < MAX_GIVEN_UP:
            self._given_up[pending.hop_id] = pending.owner
        else:
            self._is_muddled = True
        params = jsonrpc.encode({"requestId": pending.hop_id, "reason": reason})
        return b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":%b}\n' % params

    def unsent(self, pending: Pending) -> None:
        """Forget a call whose line was never sent."""
        self._pending.pop(pending.hop_id, None)

    def lose_all(self, why: str) -> None:
        """The channel is gone: end every call."""
        pending, self._pending = self._pending, {}
        for each in pending.values():
            each.receiver.on_lost(BadUpstream("The server ended in mid-call.", why=why))

    def oversized(self, head: bytes) -> None:
        """A line was too long to read. If it began as an answer, its call ends here instead of at its deadline."""
        self.counters.oversized += 1
        found = _ANSWER_HEAD.match(head)
        pending = self._pending.pop(int(found[1]), None) if found else None
        if pending is not None:
            why = "line over max_line_bytes"
            pending.receiver.on_lost(BadUpstream.answered(why, detail="The server's answer is too large."))

    def feed(self, line: bytes) -> bytes | None:
        """Take a line of the child; gives a line to send back, if one is due."""
        message = envelope.incoming(line)
        if message is None:
            self.counters.garbage += 1
            return None
        if message.method is msgspec.UNSET:
            self._answer(message)
            return None
        if message.id is not msgspec.UNSET:
            return self._request(message)
        self._notification(message.method, message.params)
        return None

    def _answer(self, message: Incoming) -> None:
        hop_id = message.id
        pending = self._pending.pop(hop_id, None) if type(hop_id) is int else None
        if pending is None:
            if type(hop_id) is int and 0 < hop_id < self._next_id:
                self.counters.late += 1
                self._given_up.pop(hop_id, None)
            else:
                self.counters.unknown += 1
            return
        result, error = message.result, message.error
        code = None
        if error:
            code = envelope.error_code(error)
        if bool(result) == bool(error) or (error and code is None):
            self.counters.garbage += 1
            pending.receiver.on_lost(
                BadUpstream("The server's answer is not JSON-RPC.", why="neither result nor error")
            )
            return
        if error:
            body = b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (pending.raw_id, error)
        else:
            outcome = _renamed(result, pending) if pending.is_listen else result
            body = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (pending.raw_id, outcome)
        pending.receiver.on_answer(body, code)

    def _request(self, message: Incoming) -> bytes | None:
        self.counters.requests += 1
        if self.era == "modern" or message.id is None:
            return None  # This revision knows no requests from servers, and forbids clients to answer any.
        raw_id = msgspec.json.encode(message.id)
        if message.method == "ping":
            return b'{"jsonrpc":"2.0","id":%b,"result":{}}\n' % raw_id
        return jsonrpc.error(raw_id, -32601, "Method not found: this client declared no capabilities.") + b"\n"

    def _notification(self, method: str, params: msgspec.Raw) -> None:
        if method == "notifications/progress":
            self._progress(params)
        elif method == "notifications/message":
            self._log(params)
        elif self.era == "modern":
            self._subscribed(method, params)
        elif method in _LIST_CHANGED:
            self._broadcast(method, "", notification(method, params))
        elif method == _UPDATED and type(uri := envelope.member(params, "uri")) is str:
            self._broadcast(method, uri, notification(method, params))
        else:
            self.counters.unattributed += 1

    def _progress(self, params: msgspec.Raw) -> None:
        hop_id = envelope.member(params, "progressToken")
        pending = self._pending.get(hop_id) if type(hop_id) is int else None
        if pending is None or pending.token is None:
            self.counters.unattributed += 1
            return
        own = envelope.with_member(params, "progressToken", pending.token)
        pending.receiver.on_note(notification("notifications/progress", own))

    def _log(self, params: msgspec.Raw) -> None:
        if self.era == "modern":
            candidates = [each for each in self._pending.values() if each.wants_log and not each.is_listen]
        else:
            candidates = list(self._pending.values()) if len(self._pending) == 1 else []
        if (
            len(candidates) != 1
            or not candidates[0].wants_log
            or self._is_muddled
            or any(owner != candidates[0].owner for owner in self._given_up.values())
        ):
            self.counters.unattributed += 1
            return
        candidates[0].receiver.on_note(notification("notifications/message", params))

    def _subscribed(self, method: str, params: msgspec.Raw) -> None:
        hop_id = envelope.subscription_of(params)
        if method == "notifications/cancelled":
            hop_id = envelope.member(params, "requestId")
        pending = self._pending.get(hop_id) if type(hop_id) is int else None
        if pending is None or not pending.is_listen:
            self.counters.unattributed += 1
        elif method == "notifications/cancelled":
            del self._pending[pending.hop_id]
            pending.receiver.on_lost(BadUpstream("The server ended the subscription.", why="cancelled by the server"))
        else:
            own = envelope.with_meta(params, META_SUBSCRIPTION, pending.raw_id)
            pending.receiver.on_note(notification(method, own))


def notification(method: str, params: msgspec.Raw | bytes) -> bytes:
    """A notification as JSON."""
    if not params:
        return b'{"jsonrpc":"2.0","method":"%b"}' % method.encode()
    # Only methods known here come this far, or such that JSON can hold unescaped.
    return b'{"jsonrpc":"2.0","method":%b,"params":%b}' % (jsonrpc.encode(method), params)


def _renamed(result: msgspec.Raw, pending: Pending) -> msgspec.Raw | bytes:
    if envelope.subscription_of(result) != pending.hop_id:
        return result
    return envelope.with_meta(result, META_SUBSCRIPTION, pending.raw_id)

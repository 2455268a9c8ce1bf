"""One process owns a server's child, its sibling workers use it too: over a Unix socket, line by line.

To a worker the socket is the child: it opens it by `server/discover` or `initialize` and sends calls under ids of its
own. To the mux here each worker is one more client. `initialize` is answered from what the child said when it was
opened. When the child ends, so do its workers' sockets: each comes again, and subscribes again, as after a restart.

Only processes of the same user are served; the socket's directory is the caller's to protect.
"""

import asyncio
import os
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from mantlet.core.call import Era
from mantlet.core.refusal import BadUpstream, EraUnavailable, Overloaded, Refusal, UpstreamUnavailable
from mantlet.core.tasks import Tasks
from mantlet.upstreams.transports.channel import envelope
from mantlet.upstreams.transports.channel.config import ChannelConfig
from mantlet.upstreams.transports.channel.envelope import Incoming
from mantlet.upstreams.transports.channel.legacy import LEVELS
from mantlet.upstreams.transports.channel.link import Link
from mantlet.upstreams.transports.channel.mux import Pending
from mantlet.upstreams.transports.channel.server import ChannelServer
from mantlet.upstreams.transports.channel.socket_channel import LineProtocol
from mantlet.wire import answer, jsonrpc

MAX_WORKERS: Final = 256


class Relay:
    """The owner's end. `start` serves at `path`, `close` ends every worker's channel."""

    def __init__(self, server: ChannelServer, config: ChannelConfig) -> None:
        self.server = server
        self.config = config
        self.tasks = Tasks(lambda _error: None)
        self.workers: set[Worker] = set()
        self._listener: asyncio.Server | None = None
        self._count = 0

    async def start(self, path: str) -> None:
        """Listen at `path`, for this user alone; an old socket there is replaced."""
        with suppress(FileNotFoundError):
            Path(path).unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        Path(path).chmod(0o600)
        self._listener = await asyncio.get_running_loop().create_unix_server(self._accept, sock=listener)
        self.server.legacy.listeners.add(self._broadcast)
        self.server.legacy.is_held = self.is_held

    async def close(self) -> None:
        """Stop listening and end the channels."""
        if self._listener is not None:
            self._listener.close()
        self.server.legacy.listeners.discard(self._broadcast)
        for worker in list(self.workers):
            worker.close()
        await self.tasks.close()

    def is_held(self, uri: str) -> bool:
        """Whether a worker is subscribed to `uri`."""
        return any(uri in worker.uris for worker in self.workers)

    def _accept(self) -> asyncio.Protocol:
        self._count += 1
        worker = Worker(self, self._count)
        bounds = self.config
        worker.protocol = LineProtocol(
            worker, max_line_bytes=bounds.max_line_bytes, max_unsent_bytes=bounds.max_unsent_bytes
        )
        self.workers.add(worker)
        asyncio.get_running_loop().call_soon(worker.check)
        return worker.protocol

    def _broadcast(self, method: str, uri: str, body: bytes) -> None:
        for worker in list(self.workers):
            if worker.era == "legacy" and (not uri or uri in worker.uris):
                worker.write(body)


class Worker:
    """One sibling process on the socket. Its own ids are integers, unique on its channel."""

    protocol: LineProtocol

    def __init__(self, relay: Relay, number: int) -> None:
        self._relay = relay
        self._owner = ("relay", str(number))
        self._link: Link | None = None
        self._is_opening = False
        self.era: Era | None = None
        self.uris: set[str] = set()
        self.pending: dict[int, Pending] = {}

    @property
    def is_lost(self) -> bool:
        """Whether the child it was served by has ended."""
        return self._link is not None and self._link.closed.is_set()

    def check(self) -> None:
        """Serve nobody but ourselves, and not without bound."""
        transport = self.protocol.transport
        peer = transport.get_extra_info("socket") if transport is not None else None
        if peer is None or not _is_same_user(peer) or len(self._relay.workers) > MAX_WORKERS:
            self.close()

    def close(self) -> None:
        """End the channel; what it asked for is cancelled."""
        if self.protocol.transport is not None:
            self.protocol.transport.close()

    def write(self, body: bytes) -> None:
        """Send a message; a worker that does not read is let go."""
        if not self.protocol.write_line(body + b"\n"):
            self.close()

    # --- what the worker says

    def on_line(self, line: bytes, /) -> None:
        """A message of the worker."""
        message = envelope.incoming(line)
        if message is None or message.method is msgspec.UNSET or self._is_opening:
            self.close()  # our own code does not do that
        elif type(message.id) is not int:
            self._notified(message, line)
        elif self._link is None or message.method == "initialize":
            self._is_opening = True
            self._relay.tasks.start(self._open(message.id, message.method, message, line), "relay:open")
        else:
            self._request(message.id, message, line)

    def on_oversized(self, head: bytes, /) -> None:
        """Larger than a child would be sent."""
        self.close()

    def on_closed(self, why: str, /) -> None:
        """The worker is gone."""
        self._relay.workers.discard(self)
        if self._link is None:
            return
        self._link.watchers.discard(self._lost)
        for pending in list(self.pending.values()):
            self._link.give_up(pending, "the client went away")
        legacy = self._relay.server.legacy
        for uri in self.uris:
            if not legacy.is_subscribed(uri) and not self._relay.is_held(uri):
                legacy.tell_unsubscribed(uri)

    async def _open(self, hop_id: int, method: str, message: Incoming, line: bytes) -> None:
        era: Era = "legacy" if method == "initialize" else "modern"
        deadline_s = self._relay.server.deadline_s(self._relay.config.start_timeout)
        try:
            supervisor, link = await self._relay.server.reach(era, deadline_s)
        except EraUnavailable as refusal:
            # For a probe any error but a modern one says "legacy"; for initialize any error says "not that".
            self.write(jsonrpc.error(b"%d" % hop_id, -32601, refusal.detail))
            return
        except Refusal:
            self.close()
            return
        finally:
            self._is_opening = False
        self.era, self._link = era, link
        link.watchers.add(self._lost)
        if era == "legacy" and supervisor.opening is not None:
            self.write(jsonrpc.result(b"%d" % hop_id, supervisor.opening.result))
        else:
            self._request(hop_id, message, line)

    def _request(self, hop_id: int, message: Incoming, line: bytes) -> None:
        assert self._link is not None
        raw_id = b"%d" % hop_id
        if self.era == "legacy" and self._is_shared(message):
            self.write(jsonrpc.result(raw_id, {}))
            return
        has_token = b'"progressToken"' in line and _token(message) == hop_id
        try:
            self.pending[hop_id] = self._link.open(
                line,
                raw_id,
                self._owner,
                Relayed(self, hop_id),
                token=raw_id if has_token else None,
                is_listen=self.era == "modern" and message.method == "subscriptions/listen",
                wants_log=self.era == "legacy" or b"/logLevel" in line,
            )
        except Overloaded as refusal:
            self.write(jsonrpc.error(raw_id, answer.code_of(refusal), refusal.detail))
        except UpstreamUnavailable:
            self.close()

    def _is_shared(self, message: Incoming) -> bool:
        """Whether the child need not hear of it, because others want the same."""
        legacy = self._relay.server.legacy
        if message.method == "logging/setLevel":
            level = envelope.member(message.params, "level")
            return level in LEVELS and not legacy.takes_level(level)
        uri = envelope.member(message.params, "uri") if "subscribe" in str(message.method) else None
        if type(uri) is str and message.method == "resources/subscribe":
            self.uris.add(uri)
        elif type(uri) is str and message.method == "resources/unsubscribe":
            self.uris.discard(uri)
            return legacy.is_subscribed(uri) or self._relay.is_held(uri)
        return False

    def _notified(self, message: Incoming, line: bytes) -> None:
        if self._link is None or message.method == "notifications/initialized":
            return
        if message.method == "notifications/cancelled":
            pending = self.pending.pop(envelope.member(message.params, "requestId"), None)
            if pending is not None:
                self._link.give_up(pending, "cancelled")
        else:
            self._link.pass_on(line + b"\n")

    def _lost(self, _why: str) -> None:
        self.close()


class Relayed:
    """One call of a worker: what is said of it goes back over the socket."""

    __slots__ = ("_hop_id", "_worker")

    def __init__(self, worker: Worker, hop_id: int) -> None:
        self._worker = worker
        self._hop_id = hop_id

    def on_answer(self, body: bytes, code: int | None, /) -> None:
        """The response, under the worker's id."""
        self._worker.pending.pop(self._hop_id, None)
        self._worker.write(body)

    def on_note(self, body: bytes, /) -> bool:
        """A notification, under the worker's token or subscription."""
        self._worker.write(body)
        return True

    def on_lost(self, refusal: Refusal, /) -> None:
        """No answer comes. When the child has ended, the end of the channel says so for all."""
        self._worker.pending.pop(self._hop_id, None)
        if self._worker.is_lost:
            return
        code = answer.code_of(refusal if type(refusal) in answer.WIRE else BadUpstream())
        self._worker.write(jsonrpc.error(b"%d" % self._hop_id, code, refusal.detail))


def _token(message: Incoming) -> object:
    meta = envelope.member(message.params, "_meta")
    return meta.get("progressToken") if type(meta) is dict else None


def _is_same_user(peer: socket.socket) -> bool:
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # the file mode of the socket is what there is
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", credentials)[1] == os.getuid())

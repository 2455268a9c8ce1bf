"""One TCP connection: `auth` first, then a conversation in lines, until its session or its patience ends.

Until somebody is authenticated nothing but `auth` is read, once, or twice where the first asks for a challenge: the
second try is another connection (AUTHN-10). Later an `auth` of the same principal renews the session; requests under
way go on meanwhile.
"""

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any, Final, cast

from mantlet.core.caller import Caller
from mantlet.core.key_proof import KeyProof
from mantlet.core.record import Trail
from mantlet.core.refusal import Denied, InvalidParams, PayloadTooLarge, Refusal, Unauthenticated
from mantlet.listeners.accept import Accepted
from mantlet.listeners.http.door import NEVER_S, ConnectionInfo
from mantlet.listeners.messages import envelope
from mantlet.listeners.messages.carrier import Ending, Gate
from mantlet.listeners.messages.conversation import Conversation
from mantlet.listeners.messages.lines import Lines
from mantlet.listeners.tcp.challenge import Challenge, ask, is_asked
from mantlet.listeners.tcp.door import AUTH, TcpDoor
from mantlet.wire import answer, jsonrpc

MAX_AUTH_LINE_BYTES: Final = 32_768
"""What a stranger may send. A token has at most 16 KiB."""
CLOSE_S: Final = 2.0
LINGER_BYTES: Final = 4 * 1024 * 1024
"""How long, and how much, is read and thrown away after the last line: closing at once could overtake it."""
SESSION_BYTES: Final = 16


class TcpConnection(asyncio.Protocol):
    """A guest of the door and the carrier of a conversation."""

    __slots__ = (
        "_accepted",
        "_auth",
        "_challenge",
        "_conversation",
        "_door",
        "_gate",
        "_id",
        "_is_ending",
        "_is_lost",
        "_is_read_paused",
        "_lines",
        "_lingered",
        "_message_by_s",
        "_session_ends_s",
        "_transport",
        "bytes_in",
        "bytes_out",
        "receive_deadline_s",
        "write_deadline_s",
    )

    def __init__(self, door: TcpDoor, accepted: Accepted) -> None:
        self._door, self._accepted = door, accepted
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._lines = Lines(min(MAX_AUTH_LINE_BYTES, door.config.max_line_bytes))
        self._gate = Gate()
        self._conversation: Conversation | None = None
        self._auth: asyncio.Task[None] | None = None
        self._challenge: Challenge | None = None
        self._is_ending = self._is_lost = self._is_read_paused = False
        self._lingered = self.bytes_in = self.bytes_out = 0
        self._message_by_s = self._session_ends_s = NEVER_S
        self.write_deadline_s = NEVER_S
        self.receive_deadline_s = accepted.at_s + door.config.auth_timeout
        door.served += 1
        self._id = door.served

    # --- coming and going ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It may speak."""
        self._transport = cast(asyncio.Transport, transport)
        self._door.guests.add(self)
        self._accepted.seat.holder = self

    def make_room(self) -> bool:
        """Leave for a newcomer: only who has not authenticated, or is leaving (RATE-06)."""
        if self._auth is not None or (self._conversation is not None and not self._is_ending):
            return False
        self._door.guests.discard(self)
        self._accepted.seat.leave()
        self.abort()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone: the work for it stops, its session ends (MCP-07)."""
        self._is_lost = True
        self._door.guests.discard(self)
        self._accepted.seat.leave()
        self._end()
        self._gate.open()

    def eof_received(self) -> bool:
        """A client that has closed its side has gone."""
        self._end()
        return False

    def leave(self) -> None:
        """Close once what is under way is answered."""
        if self._conversation is None:
            self.close(Ending.LEAVING)
        else:
            self._conversation.leave()

    def abort(self) -> None:
        """Close now."""
        self._end()
        if not self._is_lost:
            self._transport.abort()

    def info(self, now_s: float) -> ConnectionInfo:
        """Tell about it."""
        conversation = self._conversation
        return ConnectionInfo(
            id=self._id,
            peer=self._accepted.peer,
            age_s=now_s - self._accepted.at_s,
            requests=0 if conversation is None else conversation.messages,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            in_flight=conversation is not None and conversation.is_busy,
            caller="" if conversation is None else conversation.caller.name,
        )

    def expire(self, now_s: float) -> None:
        """A deadline may have passed: see which."""
        conversation = self._conversation
        if self._is_ending or self.write_deadline_s <= now_s:
            self.abort()
        elif conversation is None:
            self._refuse(Unauthenticated("Authenticate first: send auth."), None)
            self.close(Ending.SLOW)
        elif self._message_by_s <= now_s:
            self.close(Ending.SLOW)
        elif now_s >= self._session_ends_s + self._door.config.auth_timeout:
            self.close(Ending.LAPSED)
        elif not conversation.is_busy and now_s >= conversation.last_s + self._door.config.idle_timeout:
            self.close(Ending.IDLE)
        else:
            self.receive_deadline_s = max(self._next_s(conversation), now_s)

    def _next_s(self, conversation: Conversation) -> float:
        # While a request is under way nothing is idle, but when that ends is not known here.
        config = self._door.config
        last_s = self._door.now_s if conversation.is_busy else conversation.last_s
        return min(self._message_by_s, self._session_ends_s + config.auth_timeout, last_s + config.idle_timeout)

    # --- lines in -----------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes of lines."""
        self.bytes_in += len(data)
        if self._is_ending:
            self._lingered += len(data)
            if self._lingered > LINGER_BYTES:
                self._transport.abort()
            return
        self._lines.feed(data)
        if not self._is_read_paused:
            self._read_lines()

    def _read_lines(self) -> None:
        try:
            while not (self._is_waiting or self._is_ending):
                line = self._lines.next()
                if line is None:
                    break
                self._line(line)
        except PayloadTooLarge as refusal:
            self._refuse(refusal, None)
            self.close(Ending.ABUSE)
        if self._is_ending:
            return
        if self._is_waiting:
            self._pause_reading()
        elif not len(self._lines):
            self._message_by_s = NEVER_S
        elif self._message_by_s == NEVER_S and self._conversation is not None:
            self._message_by_s = self._door.terms.clock.monotonic() + self._door.config.message_timeout
            self.receive_deadline_s = min(self.receive_deadline_s, self._message_by_s)

    @property
    def _is_waiting(self) -> bool:
        conversation = self._conversation
        return self._gate.is_shut or self._auth is not None or (conversation is not None and conversation.is_full)

    def _line(self, line: bytes) -> None:
        conversation = self._conversation
        self._message_by_s = NEVER_S
        if conversation is None or (b'"auth"' in line and envelope.head_of(line).method == AUTH):
            self._auth = self._door.terms.tasks.start(self._authenticate(line), "tcp auth", tells_itself=True)
        elif self._door.terms.clock.monotonic() >= self._session_ends_s:
            self._refuse(Unauthenticated("The session has expired: send auth."), envelope.head_of(line).id)
        else:
            conversation.receive(line)

    def room(self) -> None:
        """The conversation takes messages again."""
        if self._is_read_paused and not (self._is_waiting or self._is_lost):
            self._is_read_paused = False
            self._transport.resume_reading()
            self._read_lines()

    def _pause_reading(self) -> None:
        if not self._is_read_paused:
            self._is_read_paused = True
            self._transport.pause_reading()

    # --- the session --------------------------------------------------------------------------------------------

    async def _authenticate(self, line: bytes) -> None:
        door = self._door
        raw_id: bytes | None = None
        try:
            message = jsonrpc.envelope(jsonrpc.decode(line))
            raw_id = message.id
            if message.method != AUTH or raw_id is None:
                raise Unauthenticated("Authenticate first: send auth.")
            challenge, self._challenge = self._challenge, None  # good for this message or never
            if is_asked(message.params):
                self._ask(raw_id, message.params, challenge)
            else:
                await self._let_in(raw_id, message.params, challenge)
        except Refusal as refusal:
            self._refuse(refusal, raw_id)
            if self._conversation is None:
                self.close(Ending.DONE)
        except Exception as error:  # a task root
            door.terms.on_error(error, None)
            self.close(Ending.FAILED)
        finally:
            self._auth = None
            self.room()

    def _ask(self, raw_id: bytes, params: Mapping[str, Any], former: Challenge | None) -> None:
        if former is not None and self._conversation is None:
            raise Unauthenticated("One challenge a connection: answer it.")
        door, now_s = self._door, self._door.terms.clock.monotonic()
        self._challenge = ask(params, now_s, door.config.auth_timeout)
        expires_in = int(self._challenge.until_s - now_s)
        self._write(jsonrpc.result(raw_id, {"challenge": self._challenge.text, "expires_in": expires_in}))

    async def _let_in(self, raw_id: bytes, params: Mapping[str, Any], challenge: Challenge | None) -> None:
        door, accepted = self._door, self._accepted
        proof: KeyProof | None = None
        if challenge is not None and "proof" in params:
            proof, token, server = challenge.answered(params, door.terms.clock.monotonic()), None, challenge.server
        else:
            _check_params(params, has_certificate=accepted.certificate is not None)
            token, server = params.get("token"), params.get("server", "")
        caller, path = await door.authenticate(raw_id, token, server, accepted.peer, accepted.certificate, proof)
        self._admit(caller, path)
        session = self._session(caller)
        if proof is not None:
            session["proof"] = proof.answer
        self._write(jsonrpc.result(raw_id, session))

    def _admit(self, caller: Caller, path: str) -> None:
        door = self._door
        if self._conversation is None:
            door.terms.check_room(caller)
            self._conversation = Conversation(door.terms, self, caller, path, self._accepted.peer)
            self._lines.max_bytes = door.config.max_line_bytes
        elif self._conversation.caller.key != caller.key or self._conversation.path != path:
            # What is under way belongs to whom the connection was opened for.
            raise Denied("A connection is of one caller and one endpoint; open another.")
        else:
            self._conversation.caller = caller

    def _session(self, caller: Caller) -> dict[str, object]:
        """The answer to `auth`, and the clock set to what it says."""
        door, clock = self._door, self._door.terms.clock
        lifetime_s = door.config.session_lifetime
        if caller.expires_at_s is not None:
            lifetime_s = min(lifetime_s, max(0.0, caller.expires_at_s - clock.wall()))
        self._session_ends_s = clock.monotonic() + lifetime_s
        assert self._conversation is not None
        self.receive_deadline_s = self._next_s(self._conversation)
        return {
            # For people and logs only: nothing is opened with it.
            "session": secrets.token_urlsafe(SESSION_BYTES),
            "expires_in": int(lifetime_s),
            "expires_at": int(clock.wall() + lifetime_s),
        }

    def _refuse(self, refusal: Refusal, identity: object) -> None:
        terms = self._door.terms
        trail = Trail(terms.new_id(), terms.door, self._accepted.peer, 0.0)
        if isinstance(identity, bytes):
            trail.rpc_id = identity
        elif identity is not None:
            trail.rpc_id = envelope.raw(identity)
        self._write(answer.rpc_error(refusal, trail))

    # --- lines out ----------------------------------------------------------------------------------------------

    @property
    def is_write_paused(self) -> bool:
        """Whether the client does not keep up."""
        return self._gate.is_shut

    def send(self, message: bytes) -> None:
        """One line."""
        if not self._is_ending:
            self._write(message)

    def _write(self, message: bytes) -> None:
        if self._is_lost:
            return
        line = envelope.one_line(message) + b"\n"
        self.bytes_out += len(line)
        self._transport.write(line)

    async def writable(self) -> None:
        """Wait until the client has read on."""
        await self._gate.passed()

    def pause_writing(self) -> None:
        """The client does not keep up: nothing more is read of it."""
        self._gate.shut()
        self.write_deadline_s = self._door.terms.clock.monotonic() + self._door.config.write_timeout
        self._pause_reading()

    def resume_writing(self) -> None:
        """It has read on."""
        self.write_deadline_s = NEVER_S
        self._gate.open()
        self.room()

    def close(self, ending: Ending) -> None:
        """End it after what is written; the reason has been said by then, or there is nobody to say it to."""
        if self._is_ending or self._is_lost:
            return
        self._is_ending = True
        self._end()
        self._accepted.seat.lend(self)
        self.receive_deadline_s = self._door.terms.clock.monotonic() + CLOSE_S
        if self._is_read_paused:
            self._is_read_paused = False
            self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def _end(self) -> None:
        self._is_ending = True
        self._lines.clear()
        auth, self._auth = self._auth, None
        if auth is not None and auth is not asyncio.current_task():
            auth.cancel()
        if self._conversation is not None:
            self._conversation.end()


def _check_params(params: Mapping[str, Any], *, has_certificate: bool) -> None:
    is_named = has_certificate and "token" not in params  # a client certificate says who it is, too
    if params.keys() - {"token", "server"} or type(params.get("server", "")) is not str:
        raise InvalidParams('auth takes "token" and, for one server, "server".')
    if type(params.get("token")) is not str and not is_named:
        raise InvalidParams('auth needs "token".')

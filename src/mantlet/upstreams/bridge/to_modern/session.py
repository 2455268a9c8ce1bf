"""Legacy sessions that no process owns: what a session is stands, sealed, in its id (MCP-04, AUTHZ-04).

So any worker or node with the same key and store serves a session it never saw. Only what changes is kept in `State`:
that it is in use, and as one value, because every call asks for it, that it has ended or the level of its log messages.
"""

import base64
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.last_use import LastUse
from mantlet.core.ports import Sealer, State, StateKey
from mantlet.core.refusal import InvalidParams, SessionNotFound
from mantlet.core.tasks import Tasks
from mantlet.wire.mcp.bridge.to_modern_handshake import Offers
from mantlet.wire.mcp.bridge.to_modern_request import Meta, meta_of
from mantlet.wire.mcp.inbound import without_session

LIFE_S: Final = 86_400.0
RANDOM_BYTES: Final = 16
MAX_ID_CHARACTERS: Final = 1_024
"""Longer ones do not fit every client's and proxy's header: what makes them long goes to `State`."""
MAX_CLIENT_BYTES: Final = 32_768
"""What a client may say of itself."""
MAX_KEPT: Final = 4_096
"""Opened sessions remembered by one process, so that a busy one is not decrypted for every call."""
ENDED: Final = b"ended"


class _Sealed(msgspec.Struct, array_like=True):
    """The plain text of an id. `client` is None when it stands in `State`."""

    random: bytes
    version: str
    issued_s: int
    offers: int
    client: bytes | None


class _Client(msgspec.Struct):
    info: dict[str, Any]
    capabilities: dict[str, Any]


@dataclass(slots=True)
class Session:
    """An opened session. `key` is its random part: it names the session wherever the node speaks of it to itself."""

    key: str
    version: str
    expires_s: float
    offers: Offers
    info: Mapping[str, Any]
    capabilities: Mapping[str, Any]
    meta: Meta


class Standing(NamedTuple):
    """A session and what every request of it says of its client."""

    session: Session
    meta: Meta


_DECODER: Final = msgspec.msgpack.Decoder(_Sealed)
_CLIENT: Final = msgspec.json.Decoder(_Client)


class Sessions:
    """All sessions with one server. Ids of another server or caller, forged, expired, idle, ended: all look alike.

    `busy` gives the keys of the sessions that something is under way in, in this process.
    """

    def __init__(
        self,
        server: str,
        sealer: Sealer,
        state: State,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        *,
        idle_s: float,
        busy: Callable[[], Iterable[str]],
        tasks: Tasks,
    ) -> None:
        self._server = server
        self._sealer = sealer
        self._state = state
        self._clock = clock
        self.random_bytes = random_bytes
        self.last_use = LastUse(state, clock, idle_s, key=lambda key: self.key("used", key), busy=busy, tasks=tasks)
        self._opened: OrderedDict[tuple[str, tuple[str, str, str]], Session] = OrderedDict()

    async def begin(
        self, caller: Caller, version: str, offers: Offers, info: Mapping[str, Any], capabilities: Mapping[str, Any]
    ) -> str:
        """A new session's id. Raises `InvalidParams` for a client that says too much of itself."""
        client = msgspec.json.encode(_Client(dict(info), dict(capabilities)))
        if len(client) > MAX_CLIENT_BYTES:
            raise InvalidParams(f'"clientInfo" and "capabilities" are larger than {MAX_CLIENT_BYTES} bytes together.')
        sealed = _Sealed(self.random_bytes(RANDOM_BYTES), version, int(self._clock.wall()), int(offers), client)
        text = self._seal(sealed, caller)
        if len(text) > MAX_ID_CHARACTERS:
            await self._state.put(self.key("client", _name(sealed.random)), client, LIFE_S)
            sealed.client = None
            text = self._seal(sealed, caller)
        return text

    async def open(self, text: str, caller: Caller, *, is_message: bool = False) -> Standing:
        """The session with the id `text`; raises `SessionNotFound`, or `InvalidRequest` without any id."""
        if not text:
            raise without_session(is_message)
        session = self._opened.get((text, caller.key))
        if session is None:
            session = await self._open(text, caller)
        if session.expires_s <= self._clock.wall():
            raise SessionNotFound()
        if not self.last_use.is_fresh(session.key) and not await self.last_use.use(
            session.key, session.expires_s - LIFE_S
        ):
            raise SessionNotFound()
        said = await self._state.get(self.key("said", session.key))
        if said is None:
            return Standing(session, session.meta)
        if said == ENDED:
            raise SessionNotFound()
        return Standing(session, meta_of(session.info, session.capabilities, said.decode()))

    async def set_level(self, session: Session, level: str) -> None:
        """The least severe log messages that its requests ask for from now on."""
        await self._state.put(self.key("said", session.key), level.encode(), self.left_s(session))

    async def end(self, session: Session) -> None:
        """No process serves it any more."""
        await self._state.put(self.key("said", session.key), ENDED, self.left_s(session))
        await self.last_use.end(session.key)

    def left_s(self, session: Session) -> float:
        """How long it may still live; never quite nothing."""
        return max(1.0, session.expires_s - self._clock.wall())

    def key(self, kind: str, session_key: str) -> StateKey:
        """Where something of a session stands in `State`."""
        return ("to-modern", kind, self._server, session_key)

    def _seal(self, sealed: _Sealed, caller: Caller) -> str:
        return self._sealer.seal(msgspec.msgpack.encode(sealed), self._context(caller))

    async def _open(self, text: str, caller: Caller) -> Session:
        plain = None if len(text) > MAX_ID_CHARACTERS else self._sealer.open(text, self._context(caller))
        if plain is None:
            raise SessionNotFound()
        sealed = _DECODER.decode(plain)  # nobody else could have written it
        key = _name(sealed.random)
        raw = sealed.client
        if raw is None:
            raw = await self._state.get(self.key("client", key))
            if raw is None:
                raise SessionNotFound()
        client = _CLIENT.decode(raw)
        session = Session(
            key,
            sealed.version,
            sealed.issued_s + LIFE_S,
            Offers(sealed.offers),
            client.info,
            client.capabilities,
            meta_of(client.info, client.capabilities),
        )
        if sealed.client is not None:  # large ones are read again rather than kept
            self._opened[text, caller.key] = session
            if len(self._opened) > MAX_KEPT:
                self._opened.popitem(last=False)
        return session

    def _context(self, caller: Caller) -> bytes:
        # Lengths stand before the parts, so that none can pose as two.
        parts = [part.encode("utf-8", "surrogatepass") for part in ("to-modern-session", self._server, *caller.key)]
        return b"".join(b"%d:%b" % (len(part), part) for part in parts)


def _name(random: bytes) -> str:
    return base64.urlsafe_b64encode(random).rstrip(b"=").decode()

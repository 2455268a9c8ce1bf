"""A legacy session at the endpoint of all servers: an id that says all there is to know of it (MCP-04).

The id is sealed text bound to its caller, so any worker can read it and none needs to have made it. What it carries is
what a server behind must hear when it is first needed, perhaps by another worker: what the client can do, and who it
is. Only that a session was ended before its time, and that it is in use, is remembered, in `State`, for all workers.

Staleness: a worker that has seen a session not ended believes it for `BELIEVED_S`. Every worker that uses a session
leaves its address, and the one where it ends tells them by `Post`; only if that message is lost may the session be used
that much longer, by its own caller.
"""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from mantlet.core.call import Call
from mantlet.core.clock import Clock
from mantlet.core.last_use import LastUse
from mantlet.core.ports import Post, Sealer, State
from mantlet.core.refusal import SessionNotFound
from mantlet.core.tasks import Tasks
from mantlet.policies.aggregate.quota import Quota
from mantlet.wire import jsonrpc
from mantlet.wire.mcp.inbound import without_session
from mantlet.wire.mcp.methods import LATEST_LEGACY, LEGACY_VERSIONS

LIFETIME_S: Final = 24 * 3600
"""From its beginning, however busy (MCP-04)."""
BELIEVED_S: Final = 2.0
MAX_OPENED: Final = 20_000
"""Ids that one worker remembers having read; reading one again costs 10 us."""
MAX_GONE: Final = 20_000
"""Sessions that one worker was told of as ended; `State` knows them all."""
MAX_WORKERS: Final = 64
"""Workers that a session's end is told to."""
BOX: Final = "mcp.ended"
MAX_DECLARED_BYTES: Final = 1_024
"""What a client may say of itself and have passed on whole: it travels in every request. Of a longer speech the names
of its capabilities remain."""
MAX_ID_CHARACTERS: Final = 4_096
_ID_BYTES: Final = 16
_CLIENT: Final = {"name": "mantlet", "version": "1"}
_KNOWN: Final = ("elicitation", "roots", "sampling")


class _Plain(msgspec.Struct, array_like=True):
    identity: bytes
    expires_s: int
    version: str
    capabilities: dict[str, Any]
    client: dict[str, Any]


_DECODER: Final = msgspec.json.Decoder(_Plain)


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """What an id says. `key` names the session where others may look, `secret` is never shown to anyone."""

    text: str
    key: str
    secret: bytes = field(repr=False)
    expires_s: int
    version: str
    capabilities: Mapping[str, Any]
    client: Mapping[str, Any]
    caller: tuple[str, str, str]
    view: str


class SessionIds:
    """Gives ids and reads them. `busy` gives the keys of the sessions that something is under way in at this worker."""

    def __init__(
        self,
        sealer: Sealer,
        state: State,
        post: Post,
        clock: Clock,
        *,
        idle_s: float,
        busy: Callable[[], Iterable[str]],
        tasks: Tasks,
    ) -> None:
        self._sealer = sealer
        self._state = state
        self._post = post
        self._clock = clock
        self._opened: OrderedDict[str, tuple[Session, float]] = OrderedDict()
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._quota = Quota(clock.monotonic, idle_s)
        self._last_use = LastUse(state, clock, idle_s, key=_used, busy=busy, tasks=tasks)
        post.open(BOX, lambda message: self._forget(message.decode("latin-1")))

    def begin(self, call: Call) -> str:
        """A new session's id, from the caller's `initialize`."""
        requested = call.params.get("protocolVersion")
        plain = _Plain(
            identity=secrets.token_bytes(_ID_BYTES),
            expires_s=int(self._clock.wall()) + LIFETIME_S,
            version=requested if requested in LEGACY_VERSIONS else LATEST_LEGACY,
            capabilities=_declared(call.params.get("capabilities")),
            client=_client(call.params.get("clientInfo")),
        )
        return self._sealer.seal(msgspec.json.encode(plain), _context(call))

    async def find(self, call: Call) -> Session:
        """The live session that the call is in, of its own caller.

        Raises `InvalidRequest` without any, `SessionNotFound` for a foreign, forged, expired, idle or ended one (they
        look alike), and `Overloaded` for one more than a caller may use at a time.
        """
        if not call.session:
            raise without_session(call.arrival.is_message)
        now_s = self._clock.monotonic()
        known = self._opened.get(call.session)
        session, checked_s = known or (self._read(call), now_s - BELIEVED_S)
        if session.caller != call.caller.key or session.view != call.view or session.key in self._gone:
            raise SessionNotFound
        if session.expires_s <= self._clock.wall():
            self._opened.pop(call.session, None)
            raise SessionNotFound
        if now_s - checked_s >= BELIEVED_S:
            if not (
                self._last_use.is_fresh(session.key)
                or await self._last_use.use(session.key, session.expires_s - LIFETIME_S)
            ):
                self._opened.pop(call.session, None)
                self._quota.end(session.caller, session.key)
                raise SessionNotFound
            self._quota.use(session.caller, session.key)
            if known is None:
                # Before the session is looked up: whoever ends it after that will find the address.
                await self._leave_address(session)
            if await self._state.get(_ended(session)) is not None:
                self._opened.pop(call.session, None)
                raise SessionNotFound
            self._opened[call.session] = session, now_s
            self._opened.move_to_end(call.session)
            if len(self._opened) > MAX_OPENED:
                self._opened.popitem(last=False)
        return session

    async def end(self, session: Session) -> None:
        """No worker takes it any more."""
        self._forget(session.key)
        self._quota.end(session.caller, session.key)
        await self._state.put(_ended(session), b"1", self.left_s(session))
        await self._last_use.end(session.key)
        for slot in range(MAX_WORKERS):
            address = await self._state.get(_user(session, slot))
            if address is None:
                break
            if address.decode() != self._post.address:
                await self._post.send(address.decode(), BOX, session.key.encode())

    async def _leave_address(self, session: Session) -> None:
        mine = self._post.address.encode()
        for slot in range(MAX_WORKERS):
            if await self._state.claim(_user(session, slot), mine, self.left_s(session)) == mine:
                return

    def _forget(self, key: str) -> None:
        self._gone[key] = None
        if len(self._gone) > MAX_GONE:
            self._gone.popitem(last=False)

    def left_s(self, session: Session) -> float:
        """How long it can still live: what is remembered for it need not last longer."""
        return max(1.0, session.expires_s - self._clock.wall())

    def _read(self, call: Call) -> Session:
        text = call.session
        plain = self._sealer.open(text, _context(call)) if len(text) <= MAX_ID_CHARACTERS else None
        if plain is None:
            raise SessionNotFound
        said = _DECODER.decode(plain)  # sealed by us: of this shape
        return Session(
            text=text,
            key=hashlib.sha256(said.identity).hexdigest()[:32],
            secret=said.identity,
            expires_s=said.expires_s,
            version=said.version,
            capabilities=said.capabilities,
            client=said.client,
            caller=call.caller.key,
            view=call.view,
        )


def _ended(session: Session) -> tuple[str, ...]:
    return ("mcp.ended", session.key)


def _used(key: str) -> tuple[str, ...]:
    return ("mcp.used", key)


def _user(session: Session, slot: int) -> tuple[str, ...]:
    return ("mcp.user", session.key, str(slot))


def _context(call: Call) -> bytes:
    return jsonrpc.encode(["/mcp", call.view, *call.caller.key])


def _declared(capabilities: Any) -> dict[str, Any]:
    if type(capabilities) is not dict:
        return {}
    if len(jsonrpc.encode(capabilities)) <= MAX_DECLARED_BYTES:
        return capabilities
    return {name: {} for name in _KNOWN if name in capabilities}


def _client(said: Any) -> dict[str, Any]:
    if type(said) is not dict or len(jsonrpc.encode(said)) > MAX_DECLARED_BYTES:
        return dict(_CLIENT)
    return said

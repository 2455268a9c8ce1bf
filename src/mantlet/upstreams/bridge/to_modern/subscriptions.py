"""What resources a legacy session is subscribed to, and which process holds its stream: kept in `State`."""

import asyncio
import base64
from typing import Final

import msgspec

from mantlet.core.ports import State
from mantlet.core.refusal import InvalidParams, StoreUnavailable, Unavailable
from mantlet.upstreams.bridge.to_modern.feed import Feed
from mantlet.upstreams.bridge.to_modern.mail import Mail
from mantlet.upstreams.bridge.to_modern.session import Session, Sessions

MAX_URIS: Final = 100
"""Resources one session may be subscribed to."""
MAX_URI_CHARACTERS: Final = 1_024
HEARD_S: Final = 5.0
"""How long a subscription waits until the server has acknowledged it; then it stands all the same."""
LOCK_S: Final = 3.0
"""How long one change may keep others of the same session out."""
LOOK_AGAIN_S: Final = 0.01

_URIS: Final = msgspec.json.Decoder(frozenset[str])


class Subscriptions:
    """Changes are one after the other for a session, also when they come to several processes."""

    def __init__(self, sessions: Sessions, state: State, mail: Mail, feed: Feed) -> None:
        self._sessions = sessions
        self._state = state
        self._mail = mail
        self._feed = feed
        self.timeout_s = HEARD_S

    async def change(self, session: Session, uri: str, *, is_wanted: bool) -> None:
        """Subscribe or unsubscribe; the session's stream hears of it, wherever it is.

        Raises `InvalidParams` for too much, `StoreUnavailable`, `Unavailable` when another change does not end.
        """
        if len(uri) > MAX_URI_CHARACTERS:
            raise InvalidParams(f"The URI is longer than {MAX_URI_CHARACTERS} characters.")
        lock = self._sessions.key("lock", session.key)
        await self._lock(lock)
        try:
            uris = await self.uris(session.key)
            changed = uris | {uri} if is_wanted else uris - {uri}
            if changed == uris:
                return
            if len(changed) > MAX_URIS:
                raise InvalidParams(f"A session may subscribe to {MAX_URIS} resources.")
            if is_wanted:
                self._feed.check_room(1)
            place = self._sessions.key("uris", session.key)
            await self._state.put(place, msgspec.json.encode(sorted(changed)), self._sessions.left_s(session))
        finally:
            await self._state.drop(lock)
        holder = await self.holder(session.key)
        if holder is not None:
            await self._mail.ask(holder, "uris", session.key, timeout_s=self.timeout_s + 1)

    async def uris(self, session_key: str) -> frozenset[str]:
        """What it is subscribed to."""
        raw = await self._state.get(self._sessions.key("uris", session_key))
        return frozenset() if raw is None else _URIS.decode(raw)

    async def holder(self, session_key: str) -> str | None:
        """The address of the process that holds its stream."""
        raw = await self._state.get(self._sessions.key("stream", session_key))
        return None if raw is None else raw.decode()

    async def hold(self, session: Session) -> None:
        """This process holds its stream from now on."""
        place = self._sessions.key("stream", session.key)
        await self._state.put(place, self._mail.address.encode(), self._sessions.left_s(session))

    async def release(self, session_key: str) -> None:
        """This process holds it no more, and nobody does."""
        try:
            if await self.holder(session_key) == self._mail.address:
                await self._state.drop(self._sessions.key("stream", session_key))
        except StoreUnavailable:
            return  # whoever writes here meanwhile hears that nobody has it

    async def forget(self, session: Session) -> None:
        """The session has ended."""
        for kind in ("uris", "stream", "client"):
            await self._state.drop(self._sessions.key(kind, session.key))

    async def _lock(self, place: tuple[str, ...]) -> None:
        mine = base64.b64encode(self._sessions.random_bytes(12))
        for _ in range(int(LOCK_S / LOOK_AGAIN_S)):
            if await self._state.claim(place, mine, LOCK_S) == mine:
                return
            await asyncio.sleep(LOOK_AGAIN_S)
        raise Unavailable(why="another change of the session's subscriptions does not end")

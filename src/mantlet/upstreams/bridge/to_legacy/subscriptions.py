"""The resources that a session is subscribed to at its server, counted: each once, for all who want to hear of it."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from mantlet.core.refusal import Refusal, SessionNotFound
from mantlet.upstreams.bridge.to_legacy.session import Opened, Session


class Subscriptions:
    """What the server was asked for. One request at a time, so that a last leaver and a first comer cannot cross."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._uris: dict[str, int] = {}
        """How many want each; bounded as the streams of those are."""
        self._lock = asyncio.Lock()
        self._made_in: Opened | None = None
        """The opening of the session in which they were made: another one knows nothing of them."""

    async def add(self, uris: tuple[str, ...], deadline_s: float) -> tuple[str, ...]:
        """Want these, too; gives those that the server took. Raises a `Refusal`, and then none is wanted."""
        done: list[str] = []
        try:
            async with self._lock:
                for uri in uris:
                    if uri not in self._uris and not await self._took(uri, deadline_s):
                        continue
                    self._uris[uri] = self._uris.get(uri, 0) + 1
                    done.append(uri)
        except BaseException:
            self.drop(done)
            raise
        return tuple(done)

    def drop(self, uris: Iterable[str]) -> list[str]:
        """Want these no more; gives those that nobody wants now, for `take_back`."""
        return [uri for uri in uris if self._drop(uri)]

    async def take_back(self, opened: Opened, uris: list[str]) -> None:
        """Tell the server, of those for which nobody has come meanwhile."""
        with suppress(Refusal):
            async with self._lock:
                for uri in uris:
                    if uri not in self._uris:
                        await self._session.ask(opened, "resources/unsubscribe", {"uri": uri})

    async def renew(self, opened: Opened) -> None:
        """Ask for all of them anew, when the session was opened anew. Raises a `Refusal`."""
        async with self._lock:
            if self._made_in is None or self._made_in is opened:
                return
            for uri in list(self._uris):
                await self._session.ask(opened, "resources/subscribe", {"uri": uri})
            self._made_in = opened

    async def _took(self, uri: str, deadline_s: float) -> bool:
        for attempt in (1, 2):
            opened = await self._session.open(deadline_s)
            self._made_in = self._made_in or opened
            try:
                return "error" not in await self._session.ask(opened, "resources/subscribe", {"uri": uri})
            except SessionNotFound:
                self._session.forget(opened)
                if attempt == 2:
                    raise
        return False

    def _drop(self, uri: str) -> bool:
        left = self._uris.get(uri, 0) - 1
        if left > 0:
            self._uris[uri] = left
            return False
        self._uris.pop(uri, None)
        return True

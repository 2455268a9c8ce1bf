"""How a session's stream comes to the worker that its client comes back to: it is asked for, and given away once."""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from mantlet.core.ports import Post
from mantlet.core.refusal import StoreUnavailable
from mantlet.core.tasks import Tasks

ASK_BOX: Final = "mcp.streams.ask"
GIVE_BOX: Final = "mcp.streams.give"
HAND_OVER_S: Final = 2.0
"""How long another worker may take; after that what its client missed counts as lost."""
MAX_ASKED: Final = 10_000
"""Clients that come back at one moment; more of them start anew."""

_ASKED: Final = msgspec.msgpack.Decoder(tuple[str, str, str, str])
_GIVEN: Final = msgspec.msgpack.Decoder(tuple[str, bytes])

Give = Callable[[str, str], bytes | None]
"""Drops the stream of a session (its key); what it gives is for whoever knows the stream's token."""


class HandOver:
    """Both ends of it."""

    def __init__(self, post: Post, tasks: Tasks, give: Give) -> None:
        self._post, self._tasks, self._give = post, tasks, give
        self._asked: dict[str, asyncio.Future[bytes]] = {}
        post.open(ASK_BOX, self._ask_heard)
        post.open(GIVE_BOX, self._give_heard)

    async def take(self, address: str, key: str, token: str) -> bytes | None:
        """Have the worker at `address` drop the stream; what it had kept, if `token` is that stream's.

        Without a token nobody waits for an answer.
        """
        if not token or len(self._asked) >= MAX_ASKED:
            await self._send(address, ASK_BOX, (key, "", "", ""))
            return None
        nonce = secrets.token_urlsafe(12)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[nonce] = answer
        try:
            async with asyncio.timeout(HAND_OVER_S):
                is_sent = await self._send(address, ASK_BOX, (key, token, self._post.address, nonce))
                return (await answer or None) if is_sent else None
        except TimeoutError:
            return None
        finally:
            del self._asked[nonce]

    def _ask_heard(self, message: bytes) -> None:
        with suppress(msgspec.DecodeError):
            key, token, address, nonce = _ASKED.decode(message)
            packed = self._give(key, token)
            if address:
                self._tasks.start(self._send(address, GIVE_BOX, (nonce, packed or b"")), "aggregate.handover")

    def _give_heard(self, message: bytes) -> None:
        with suppress(msgspec.DecodeError):
            nonce, packed = _GIVEN.decode(message)
            waiting = self._asked.get(nonce)
            if waiting is not None and not waiting.done():
                waiting.set_result(packed)

    async def _send(self, address: str, box: str, fields: tuple[object, ...]) -> bool:
        try:
            return await self._post.send(address, box, msgspec.msgpack.encode(fields))
        except StoreUnavailable:
            return False

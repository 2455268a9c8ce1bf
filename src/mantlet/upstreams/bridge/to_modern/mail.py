"""What the processes of a node tell and ask each other about sessions that are spread over them."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from mantlet.core.ports import Post
from mantlet.core.refusal import StoreUnavailable
from mantlet.core.tasks import Tasks

MAX_ASKED: Final = 10_000
"""Questions of this process that wait for another's answer."""

_ANSWER: Final = "answer"

Answering = Callable[..., Awaitable[bytes | None]]
"""Takes the fields of a message; what it gives goes back to whoever asked."""


class Mail:
    """One box of this process for one server. Everything here is bounded by the asker's time and lost without harm."""

    def __init__(self, post: Post, box: str, tasks: Tasks, random_bytes: Callable[[int], bytes]) -> None:
        self._post = post
        self._box = box
        self._tasks = tasks
        self._random_bytes = random_bytes
        self._kinds: dict[str, Answering] = {}
        self._asked: dict[str, asyncio.Future[bytes]] = {}
        post.open(box, self._heard)

    @property
    def address(self) -> str:
        """This process's."""
        return self._post.address

    def on(self, kind: str, answering: Answering) -> None:
        """What is done with messages of `kind`."""
        self._kinds[kind] = answering

    async def tell(self, address: str, kind: str, *fields: Any) -> bool:
        """Send it there; False when nobody is there, or nobody can be reached."""
        return await self._send(address, kind, "", fields)

    async def ask(self, address: str, kind: str, *fields: Any, timeout_s: float) -> bytes | None:
        """What the process there says, or None when it says nothing in time."""
        if len(self._asked) >= MAX_ASKED:
            return None
        token = base64.urlsafe_b64encode(self._random_bytes(12)).decode()
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[token] = answer
        try:
            async with asyncio.timeout(timeout_s):
                return await answer if await self._send(address, kind, token, fields) else None
        except TimeoutError:
            return None
        finally:
            del self._asked[token]

    def close(self) -> None:
        """Hear nothing more."""
        self._post.close(self._box)

    async def _send(self, address: str, kind: str, token: str, fields: tuple[Any, ...]) -> bool:
        message = msgspec.msgpack.encode([kind, self._post.address if token else "", token, list(fields)])
        try:
            return await self._post.send(address, self._box, message)
        except StoreUnavailable:
            return False

    def _heard(self, message: bytes) -> None:
        kind, address, token, fields = msgspec.msgpack.decode(message)
        if kind == _ANSWER:
            waiting = self._asked.get(fields[0])
            if waiting is not None and not waiting.done():
                waiting.set_result(fields[1])
            return
        answering = self._kinds.get(kind)
        if answering is not None:
            self._tasks.start(self._answer(answering, address, token, fields), f"mail {kind}")

    async def _answer(self, answering: Answering, address: str, token: str, fields: list[Any]) -> None:
        answer = await answering(*fields)
        if token:
            await self._send(address, _ANSWER, "", (token, answer or b""))

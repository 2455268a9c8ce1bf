"""The side of the process that holds the call."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from mantlet.core.clock import Clock
from mantlet.core.ports import Post
from mantlet.core.refusal import Overloaded, Refusal
from mantlet.core.tasks import Tasks
from mantlet.upstreams.bridge.to_legacy.exchange import Exchange
from mantlet.upstreams.bridge.to_legacy.leg import Answer, Leg
from mantlet.upstreams.bridge.to_legacy.relay.messages import (
    Answered,
    Asking,
    Came,
    Leaving,
    Refused,
    Sign,
    ToAsker,
    box_of,
    read_by_holder,
    written,
)
from mantlet.wire.mcp.bridge.to_legacy_inputs import Responses
from mantlet.wire.mcp.bridge.to_legacy_requests import Wishes

SIGN_S: Final = 5.0
"""So often it says that it is at work; much less than `asker.SILENCE_S`."""
MAX_RELAYED: Final = 1_000
"""Calls of others that one process may be at work for."""

Resume = Callable[[str, bytes, Leg, Responses], Awaitable[Exchange]]
"""Takes the held call of a ticket up again, ready for `next`, if it was held under that context. Raises a `Refusal`."""


class Relay:
    """`resume` finds the call, and what comes for it is sent to who asked."""

    def __init__(self, post: Post, server: str, resume: Resume, clock: Clock, tasks: Tasks) -> None:
        self._post = post
        self._server = server
        self._resume = resume
        self._clock = clock
        self._tasks = tasks
        self._under_way: dict[str, asyncio.Task[Any]] = {}
        post.open(box_of(server), self._heard)

    def __len__(self) -> int:
        return len(self._under_way)

    def close(self) -> None:
        """Hear nobody any more. What is under way ends with its tasks."""
        self._post.close(box_of(self._server))

    def _heard(self, message: bytes) -> None:
        came = read_by_holder(message)
        if came is None:
            return
        if isinstance(came, Leaving):
            if (task := self._under_way.get(came.box)) is not None:
                task.cancel()
            return
        self._under_way[came.box] = self._tasks.start(self._serve(came), "bridge-relay")

    async def _serve(self, asking: Asking) -> None:
        try:
            await self._relay(asking)
        except Refusal as refusal:
            await self._quietly(asking, Refused(refusal.fault == "caller", refusal.detail))
        except Exception:  # the root of a task: who asked must hear of it
            await self._quietly(asking, Refused(False, "the holder failed"))
            raise
        finally:
            self._under_way.pop(asking.box, None)

    async def _relay(self, asking: Asking) -> None:
        if len(self._under_way) > MAX_RELAYED:
            raise Overloaded(why="too many calls are handed to other processes")
        leg = Leg(asking.raw_id, Wishes(asking.capabilities, asking.client, asking.level, asking.token))
        exchange = await self._resume(asking.ticket, asking.context, leg, asking.responses)
        try:
            if not await self._say(asking, Sign(exchange.is_streaming)):
                exchange.leave()
                return
            while True:
                item = await exchange.next(self._clock.monotonic() + SIGN_S)
                if isinstance(item, Answer):
                    await self._say(asking, Answered(item.status, item.body))
                    return
                sent = Sign(exchange.is_streaming) if item is None else Came(item)
                if not await self._say(asking, sent):
                    exchange.leave()
                    return
        except BaseException:
            exchange.leave()
            raise

    async def _say(self, asking: Asking, said: ToAsker) -> bool:
        return await self._post.send(asking.address, asking.box, written(said))

    async def _quietly(self, asking: Asking, said: Refused) -> None:
        with suppress(Refusal):  # who asked will take the silence for an answer
            await self._say(asking, said)

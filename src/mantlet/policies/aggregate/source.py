"""One server's part in a merged stream: opened, heard, and opened again when it ends, for as long as the client stays.

A server that is slow or dead holds up nobody: each is heard by a task of its own, waits longer after each failure, and
what it may take to begin is bounded. One that offers no such stream is let be.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from mantlet.core.call import Reply
from mantlet.core.refusal import (
    BadUpstream,
    Denied,
    EraUnavailable,
    InvalidParams,
    MethodNotAllowed,
    MethodNotFound,
    NotAcceptable,
    Refusal,
)
from mantlet.core.stream import aclose
from mantlet.wire.sse import SseSplitter

OPEN_TIMEOUT_S: Final = 10.0
"""For the head of a stream: while it is awaited it takes one of the places of calls."""
FIRST_DELAY_S: Final = 0.5
LONGEST_DELAY_S: Final = 60.0
MAX_EVENT_BYTES: Final = 1024 * 1024

OFFERS_NONE: Final = (MethodNotAllowed, MethodNotFound, EraUnavailable, Denied, InvalidParams, NotAcceptable)
"""Refusals that the next attempt would meet again."""


class NoStream(Exception):
    """Raised by who hears a stream: the server will never give another."""


async def keep_open(
    open_: Callable[[], Awaitable[Reply]],
    heard: Callable[[bytes], Awaitable[None]],
    failed: Callable[[Refusal], None],
    chance: Callable[[], float],
) -> None:
    """Hear every message of the streams that `open_` opens one after another, until cancelled or there are none.

    `failed` is told of what kept one from opening or ended it badly; it is opened again after a while all the same.
    """
    delay_s = FIRST_DELAY_S
    while True:
        try:
            if await _hear(open_, heard):
                delay_s = FIRST_DELAY_S
        except NoStream:
            return
        except OFFERS_NONE as refusal:
            failed(refusal)
            return
        except Refusal as refusal:
            failed(refusal)
        # Spread, or all streams of a server that begins anew would come back in one moment.
        await asyncio.sleep(delay_s * (0.5 + chance()))
        delay_s = min(delay_s * 2, LONGEST_DELAY_S)


async def _hear(open_: Callable[[], Awaitable[Reply]], heard: Callable[[bytes], Awaitable[None]]) -> bool:
    """Whether anything was heard before the end."""
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            reply = await open_()
    except TimeoutError as error:
        raise BadUpstream(why="a stream did not begin in time") from error
    if isinstance(reply.body, bytes):
        if reply.body:
            await heard(reply.body)
        if reply.status == 405:
            raise NoStream
        raise BadUpstream(why=f"a stream was answered with {reply.status}")
    is_any = False
    splitter = SseSplitter(MAX_EVENT_BYTES)
    try:
        async for chunk in reply.body:
            for event in splitter.feed(chunk):
                if event.data:
                    is_any = True
                    await heard(event.data)
    finally:
        await aclose(reply.body)
    return is_any

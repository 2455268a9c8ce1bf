"""The stream of a call in a legacy session, on its way back: what the server asks of the client in it gets our ids."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

from mantlet.core.call import Reply
from mantlet.core.stream import Derived
from mantlet.policies.aggregate import asked
from mantlet.policies.aggregate.session import Session
from mantlet.wire.sse import SseSplitter

MAX_EVENT_BYTES: Final = 4 * 1024 * 1024

Refuse = Callable[[Mapping[str, Any]], Awaitable[None]]
"""Tells the server an answer that the node gives for the client."""


def passed_on(reply: Reply, session: Session, server: str, refuse: Refuse) -> Reply:
    """`reply` with its stream, if it is one, made for the client."""
    if not isinstance(reply.body, bytes):
        reply.body = Derived(_events(reply.body, session, server, refuse), reply.body)
    return reply


async def _events(
    chunks: AsyncIterator[bytes], session: Session, server: str, refuse: Refuse
) -> AsyncGenerator[bytes, None]:
    splitter = SseSplitter(MAX_EVENT_BYTES)
    async for chunk in chunks:
        for event in splitter.feed(chunk):
            data = asked.for_client(session, server, event.data)
            if data is None:
                await refuse(asked.refusal(event.data))
                continue
            if data is event.data and not event.id:
                yield event.raw
                continue
            # With the id of its last event a client asks for the rest of this very stream: it must lead back, too.
            own = b"" if not event.id else asked.shown(session, server, "event", event.id).encode()
            yield _event(event.raw, own, None if data is event.data else data)


def _event(raw: bytes, own: bytes, data: bytes | None) -> bytes:
    """`raw` with another id, and with other data if there is any; its type, its `retry` and empty data stay."""
    dropped = (b"id:",) if data is None else (b"id:", b"data:")
    kept = [line for line in raw.splitlines() if line and not line.startswith(dropped)]
    if own:
        kept.append(b"id: " + own)
    if data is not None:
        kept.append(b"data: " + data)
    return b"\n".join(kept) + b"\n\n"

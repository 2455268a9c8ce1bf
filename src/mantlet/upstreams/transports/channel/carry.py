"""Carry one request over an open link and make a reply of what comes back."""

import asyncio
from functools import partial
from typing import Final

from mantlet.core.call import Call, Reply
from mantlet.core.clock import Clock
from mantlet.core.headers import JSON
from mantlet.core.refusal import NotAcceptable
from mantlet.upstreams.transports.channel.exchange import Exchange
from mantlet.upstreams.transports.channel.link import Link
from mantlet.upstreams.transports.channel.mux import Pending
from mantlet.wire import jsonrpc
from mantlet.wire.event_stream import HEADERS
from mantlet.wire.mcp.accepted import accepts_stream
from mantlet.wire.mcp.statuses import status_of

LOG_LEVEL: Final = "io.modelcontextprotocol/logLevel"
MAX_LISTEN_S: Final = 86_400.0
"""A subscription is a stream without an end of its own; after a day its client opens a new one."""


async def carry(call: Call, link: Link, clock: Clock, in_session: dict[bytes, Pending] | None) -> Reply:
    """Send `call`, a request, under an id of this hop (MCP-05). The reply is a stream when something comes before the
    answer. `in_session` keeps a legacy session's calls in flight, by the client's own id."""
    raw_id, meta = call.id, call.params.get("_meta")
    assert raw_id is not None
    token = level = None
    if type(meta) is dict:
        token, level = meta.get("progressToken"), meta.get(LOG_LEVEL)
    is_modern = in_session is None
    is_listen = is_modern and call.method == "subscriptions/listen"
    can_stream = accepts_stream(call.arrival)
    if is_listen and not can_stream:
        raise NotAcceptable("subscriptions/listen needs Accept: text/event-stream.")
    exchange = Exchange(raw_id, can_stream=can_stream)
    pending = link.open(
        call.body,
        raw_id,
        call.caller.key,
        exchange,
        token=None if token is None else jsonrpc.encode(token),
        is_listen=is_listen,
        wants_log=can_stream and (not is_modern or level is not None),
    )
    if in_session is not None:
        in_session[raw_id] = pending
    loop = asyncio.get_running_loop()
    pending.timer = loop.call_later(max(0.0, call.deadline_s - clock.monotonic()), link.expire, pending)
    is_streaming = False
    try:
        answer = await exchange.first
        is_streaming = answer is None
    except asyncio.CancelledError:
        if exchange.first.done() and not exchange.first.cancelled():
            exchange.first.exception()  # it came in the same turn; nobody will look at it
        raise
    finally:
        if not is_streaming:
            _left(link, pending, in_session)
    if answer is None:
        stream = exchange.stream
        assert stream is not None
        if is_listen:
            pending.timer.cancel()
            pending.timer = loop.call_later(MAX_LISTEN_S, link.expire, pending)
        stream.on_close = partial(_left, link, pending, in_session)
        return Reply(200, list(HEADERS), stream)
    status = 200
    if answer.code is not None and is_modern:
        status = status_of(answer.code)
    return Reply(status, [JSON], answer.body)


def _left(link: Link, pending: Pending, in_session: dict[bytes, Pending] | None) -> None:
    # The one way out of a call: answered, refused, cancelled, or its stream closed (MCP-07).
    if pending.timer is not None:
        pending.timer.cancel()
    link.give_up(pending, "the client went away")
    if in_session is not None and in_session.get(pending.raw_id) is pending:
        del in_session[pending.raw_id]

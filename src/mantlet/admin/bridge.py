"""An ASGI application behind our own listener, so that the admin door is as strict as the others.

The control plane may be slow and comfortable; its front door may not be weaker (HTTP-02 … HTTP-07 hold on every
listener). Answers are whole: nothing here streams yet.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote

from mantlet.core.call import Arrival, Reply

Message = MutableMapping[str, Any]
AsgiApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]


def bridge(app: AsgiApp) -> Callable[[Arrival], Awaitable[Reply]]:
    """The handler of arrivals that `app` answers. `scope["state"]["arrival"]` gives it the arrival itself."""

    async def handle(arrival: Arrival) -> Reply:
        body = await arrival.read()
        unread = [{"type": "http.request", "body": body, "more_body": False}]
        reply = Reply(500, [], origin="node")
        chunks: list[bytes] = []

        async def receive() -> Message:
            return unread.pop() if unread else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                reply.status = message["status"]
                # The listener frames the body itself.
                reply.headers = [
                    (n.lower(), v) for n, v in message.get("headers", []) if n.lower() != b"content-length"
                ]
            else:
                chunks.append(message.get("body", b""))

        await app(_scope(arrival), receive, send)
        reply.body = b"".join(chunks)
        return reply

    return handle


def _scope(arrival: Arrival) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": arrival.verb,
        "scheme": "https" if arrival.is_tls else "http",
        "path": arrival.path,
        "raw_path": quote(arrival.path).encode(),
        "query_string": arrival.query,
        "root_path": "",
        "headers": list(arrival.headers),
        "client": (arrival.peer, 0),
        "server": None,
        "state": {"arrival": arrival},
    }

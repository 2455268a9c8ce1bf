"""Messages up to an HTTP+SSE server: each a POST, some at once, what must keep its place in its place."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from mantlet.core.clock import Clock
from mantlet.core.headers import JSON
from mantlet.core.refusal import Refusal
from mantlet.core.tasks import Tasks
from mantlet.upstreams.client import BodyStream, Endpoint, HttpClient, head, prefix
from mantlet.upstreams.client.request import Field
from mantlet.upstreams.transports.sse.config import SseServerConfig
from mantlet.wire import jsonrpc

MAX_POSTS: Final = 16
"""POSTs under way at once, of one channel. A server accepts before it works, so these are round trips, not calls."""
_REQUEST: Final = b'{"jsonrpc":"2.0","id":'
"""How what may overtake begins: requests of ours, which are ready for any order, and answers."""
_GONE: Final = frozenset({401, 403, 404, 410})
"""The server does not know the session any more, or never let us in: nothing on this channel will go better."""


class Postbox:
    """What one channel has to say. A notification goes when all before it are accepted, and before all after it."""

    def __init__(self, config: SseServerConfig, client: HttpClient, own: list[Field], clock: Clock) -> None:
        self._config = config
        self._client = client
        self._own = [*own, JSON, (b"accept", b"*/*")]
        self._clock = clock
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._posts: set[asyncio.Task[None]] = set()
        self._has_mail = asyncio.Event()
        self._tasks = Tasks(lambda error: self.on_failure(f"posting failed: {error!r}"))
        self._prefix = b""
        self.on_failure: Callable[[str], None] = lambda _why: None
        """Hears why nothing can be posted any more."""
        self.on_refused: Callable[[bytes], None] = lambda _line: None
        """Hears the answer to a request that the server did not accept."""

    @property
    def endpoint(self) -> Endpoint:
        """Where the stream comes from."""
        return self._client.endpoint

    def open(self, target: bytes) -> None:
        """Begin to post to `target`."""
        self._prefix = prefix(b"POST", target, self._client.endpoint.authority, self._own)
        self._tasks.start(self._run(), "sse.postbox")

    def put(self, line: bytes) -> bool:
        """Queue a message; False when too much waits, or is under way."""
        if self._size + len(line) > self._config.max_unsent_bytes:
            return False
        self._size += len(line)
        self._waiting.append(line)
        self._has_mail.set()
        return True

    async def close(self) -> None:
        """Post nothing more; what is under way is broken off."""
        self._waiting.clear()
        await self._tasks.close()

    async def _run(self) -> None:
        while True:
            await self._has_mail.wait()
            while self._waiting:
                line = self._waiting.popleft()
                if not line.startswith(_REQUEST):
                    if self._posts:
                        await asyncio.wait(self._posts)
                    await self._post(line)
                    continue
                if len(self._posts) >= MAX_POSTS:
                    await asyncio.wait(self._posts, return_when=asyncio.FIRST_COMPLETED)
                post = self._tasks.start(self._post(line), "sse.post")
                self._posts.add(post)
                post.add_done_callback(self._posts.discard)
            self._has_mail.clear()

    async def _post(self, line: bytes) -> None:
        message = head(self._prefix, [], len(line)) + line
        try:
            response = await self._client.send(message, deadline_s=self._clock.monotonic() + self._config.post_timeout)
        except Refusal as refusal:
            self.on_failure(f"a message could not be posted: {refusal.why}")
            return
        finally:
            self._size -= len(line)
        if isinstance(response.body, BodyStream):
            await response.body.aclose()
        if 200 <= response.status < 300:
            return
        why = f"The server refused the message: HTTP {response.status}."
        if response.status in _GONE:
            self.on_failure(why)
        elif line.startswith(_REQUEST):
            raw_id = line[len(_REQUEST) :].partition(b",")[0]
            self.on_refused(jsonrpc.error(raw_id, -32603, why))  # of one message, as a rule: too large, say

"""A stream ends when the credential that opened it does (AUTHN-06).

Whoever was let in a minute ago is asked for again while the answer still flows: every `CHECK_S` all open streams are
looked at together, which costs a call without a stream nothing.
"""

from collections.abc import AsyncIterator, Callable
from typing import Final

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.policy import ArrivalHandler
from mantlet.core.refusal import Overloaded, Refusal
from mantlet.core.stream import Endable

CHECK_S: Final = 2.0
"""With what is cached of a credential it stays below the 5 s in which a revocation acts."""

IsCurrent = Callable[[Caller], bool]


class OpenStreams:
    """Those that flow now, and how many are whose."""

    def __init__(self) -> None:
        self.streams: set[CurrentStream] = set()
        self.of_caller: dict[tuple[str, str, str], int] = {}
        """Never more keys than streams."""

    def add(self, stream: "CurrentStream") -> None:
        """It begins."""
        self.streams.add(stream)
        key = stream.caller.key
        self.of_caller[key] = self.of_caller.get(key, 0) + 1

    def discard(self, stream: "CurrentStream") -> None:
        """It has ended; told any number of times."""
        if stream in self.streams:
            self.streams.remove(stream)
            key = stream.caller.key
            if (left := self.of_caller[key] - 1) > 0:
                self.of_caller[key] = left
            else:
                del self.of_caller[key]


class CurrentStreams:
    """The policy behind `authenticate`: it wraps streaming replies and remembers them while they flow.

    One caller has at most `max_per_caller` of them in one process (RATE-06).
    """

    def __init__(self, is_current: IsCurrent, max_per_caller: int = 1000) -> None:
        self._is_current = is_current
        self._max_per_caller = max_per_caller
        self._open = OpenStreams()

    async def __call__(self, arrival: Arrival, onward: ArrivalHandler, /) -> Reply:
        """Pass on; a stream that comes back is watched."""
        reply = await onward(arrival)
        caller = arrival.caller
        if not isinstance(reply.body, bytes) and caller is not None:
            stream = CurrentStream(reply.body, caller, self._open)
            if self._open.of_caller.get(caller.key, 0) >= self._max_per_caller:
                await stream.aclose()
                raise Overloaded("Too many streams are open.", why=f"{caller.name} has {self._max_per_caller} streams")
            self._open.add(stream)
            reply.body = stream
        return reply

    def check(self) -> int:
        """End the streams whose caller's credential no longer holds; how many. Call it every `CHECK_S`."""
        lapsed = [stream for stream in self._open.streams if not self._holds(stream.caller)]
        for stream in lapsed:
            stream.end()
        return len(lapsed)

    def _holds(self, caller: Caller) -> bool:
        try:
            return self._is_current(caller)
        except Refusal:
            # The store gives no answer: new calls are refused then, and what flows does not outlive them.
            return False


class CurrentStream(Endable):
    """A stream that can be told to end while somebody waits for its next chunk."""

    __slots__ = ("caller",)

    def __init__(self, chunks: AsyncIterator[bytes], caller: Caller, is_open: OpenStreams) -> None:
        super().__init__(chunks, is_open.discard)
        self.caller = caller

"""The steps that stop what is switched off: callers before their body is read, targets before anything reaches them."""

from collections.abc import Awaitable, Callable

from mantlet.core.call import Arrival, Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.policy import ArrivalHandler, CallHandler
from mantlet.core.record import Trail
from mantlet.core.refusal import Killed
from mantlet.core.stream import Endable
from mantlet.policies.kill.switches import Switches
from mantlet.policies.kill.table import Switch


class KilledCallers:
    """Refuses callers that are stopped, and whoever an agent acts for that is."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches

    def __call__(self, arrival: Arrival, onward: ArrivalHandler, /) -> Awaitable[Reply]:
        """Refuse with `Killed`, or pass on."""
        if self._switches.any and arrival.caller is not None:
            self.refuse(arrival.caller, arrival.trail)
        return onward(arrival)

    def refuse(self, caller: Caller, trail: Trail) -> None:
        """Raise `Killed` for one that is stopped."""
        switch = self._switches.stopped.caller(caller)
        if switch is not None:
            trail.rule = f"kill {switch.kind}"
            raise Killed(switch.kind)

    def guarding(self, is_current: Callable[[Caller], bool]) -> Callable[[Caller], bool]:
        """`is_current`, and not stopped: what is asked of whoever has a stream or a connection open."""

        def current(caller: Caller) -> bool:
            return (not self._switches.any or self._switches.stopped.caller(caller) is None) and is_current(caller)

        return current


class KilledTargets:
    """Refuses calls to tools and upstreams that are stopped, and ends the streams that flow from them."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self._streams: dict[Endable, Call] = {}
        """As many as `current_streams` lets callers have."""
        switches.changed = self._end_streams

    def __call__(self, call: Call, onward: CallHandler, /) -> Awaitable[Reply]:
        """Refuse with `Killed`, or pass on."""
        if self._switches.any:
            self.refuse(call)
        return onward(call)

    def hides(self, server: str, method: str, name: str) -> bool:
        """Whether a list withholds it: what may not be called is not shown (AUTHZ-03)."""
        return self._switches.stopped.target(server, method, name) is not None

    @property
    def any(self) -> bool:
        """Whether anything is switched off at all."""
        return self._switches.any

    def watch(self, call: Call, reply: Reply) -> None:
        """Told of every stream that begins, by whoever has it first: only there it costs the other calls nothing."""
        assert not isinstance(reply.body, bytes)
        stream = Endable(reply.body, self._forget)
        self._streams[stream] = call
        reply.body = stream

    def end_unless(self, allows: Callable[[Call], bool]) -> None:
        """End the streams of calls that would not be allowed now: the rules have changed (AUTHZ-06)."""
        for stream in [stream for stream, call in self._streams.items() if not allows(call)]:
            stream.end()

    def refuse(self, call: Call) -> None:
        """Raise `Killed` for one whose target is stopped."""
        switch: Switch | None = self._switches.stopped.target(call.server, call.method, call.target)
        if switch is not None:
            call.trail.rule = f"kill {switch.kind}"
            raise Killed(switch.kind)

    def _end_streams(self) -> None:
        target = self._switches.stopped.target
        self.end_unless(lambda call: target(call.server, call.method, call.target) is None)

    def _forget(self, stream: Endable) -> None:
        self._streams.pop(stream, None)

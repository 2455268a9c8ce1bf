"""The generation of the configuration that is in force: what everything that outlives a reload talks to.

Doors, streams and conversations hold this, never a step of one generation. A reload is one assignment here, so a call
sees one generation from its first step to its last.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mantlet.core.call import Arrival, Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.policy import ArrivalHandler
from mantlet.core.refusal import DelegationRefused
from mantlet.node.config.model import Config
from mantlet.node.path import Steps
from mantlet.policies.authenticate.policy import Authenticate, Disabled
from mantlet.policies.limits.status import LimitsAdmin


@dataclass(frozen=True, slots=True)
class Generation:
    """What one configuration decides, whole."""

    number: int
    config: Config
    steps: Steps
    authenticate: Authenticate | Disabled
    limits_admin: LimitsAdmin
    handler: ArrivalHandler
    messages: ArrivalHandler


class Current:
    """The generation in force. `take` is called once before the first door opens, and with every reload."""

    __slots__ = ("_told", "generation", "handler", "messages_handler")

    generation: Generation

    def take(self, generation: Generation) -> None:
        """Calls that begin from now on are this generation's."""
        self.generation = generation
        self.handler = generation.handler
        self.messages_handler = generation.messages
        tally = generation.steps.tally
        self._told = None if tally is None else tally.told

    def handle(self, arrival: Arrival) -> Awaitable[Reply]:
        """A request at an HTTP door."""
        return self.handler(arrival)

    def told(self, arrival: Arrival) -> Reply | None:
        """What a request is refused with, where that is decided already for all of its address."""
        return None if self._told is None else self._told(arrival)

    def messages(self, arrival: Arrival) -> Awaitable[Reply]:
        """A message of a connection whose caller is known."""
        return self.messages_handler(arrival)

    def allows(self, call: Call) -> bool:
        """Whether `call`, which passed under an older generation, would pass under the one in force."""
        steps, caller = self.generation.steps, call.caller
        try:
            if caller.act and steps.delegation is not None:
                caller = steps.delegation.admitted(caller)
        except DelegationRefused:
            return False
        return steps.authorize.allows(call, caller.rights)

    def may_reach(self, caller: Caller, server: str) -> bool:
        """Whether the rules in force let the caller talk to `server` at all."""
        return self.generation.steps.authorize.may_reach(caller, server)


class CurrentIdentity:
    """`Authenticate` as the doors know it, of the generation in force."""

    def __init__(self, current: Current) -> None:
        self._current = current

    def __call__(self, arrival: Arrival, onward: ArrivalHandler, /) -> Awaitable[Reply]:
        """Authenticate `arrival` and pass it on."""
        return self._current.generation.authenticate(arrival, onward)

    async def identify(self, arrival: Arrival) -> Caller:
        """Who sent `arrival`, or a refusal."""
        return await self._current.generation.authenticate.identify(arrival)

    async def recall(self, caller: Caller) -> None:
        """Before `is_current` of a caller whom another process recognised. Raises `StoreUnavailable`."""
        await self._current.generation.authenticate.recall(caller)

    def is_current(self, caller: Caller) -> bool:
        """Whether a caller recognised earlier would be now, under the configuration of now."""
        return self._current.generation.authenticate.is_current(caller)

    def challenge(self, arrival: Arrival) -> str:
        """What a 401 asks for."""
        return self._current.generation.authenticate.challenge(arrival)


class CurrentCallerLimits:
    """The caller's windows as the generation in force has them, or nothing where it has none."""

    def __init__(self, current: Current) -> None:
        self._current = current

    def __call__(self, arrival: Arrival, onward: Callable[[Arrival], Awaitable[Reply]], /) -> Awaitable[Reply]:
        """Take from the windows and pass on."""
        limits = self._current.generation.steps.caller_limits
        return onward(arrival) if limits is None else limits(arrival, onward)


class CurrentDelegation:
    """The step for calls that somebody makes for another, as the generation in force has it."""

    def __init__(self, current: Current) -> None:
        self._current = current

    def __call__(self, arrival: Arrival, onward: Callable[[Arrival], Awaitable[Reply]], /) -> Awaitable[Reply]:
        """Refuse, or pass on with the rights of the whole chain."""
        delegation = self._current.generation.steps.delegation
        return onward(arrival) if delegation is None else delegation(arrival, onward)

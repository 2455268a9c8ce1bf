"""The step that stands for `authenticate` where the caller is bound to a connection: does its credential still hold?

Asked with every message, not when the connection opened (AUTHN-06, AUTHN-10).
"""

from collections.abc import Callable

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.policy import ArrivalHandler
from mantlet.core.refusal import InvalidCredential, Unauthenticated
from mantlet.policies.authenticate.policy import note


class CurrentCaller:
    """Lets a message of a caller pass whose credential was neither revoked nor has expired."""

    def __init__(self, is_current: Callable[[Caller], bool]) -> None:
        self._is_current = is_current

    async def __call__(self, arrival: Arrival, onward: ArrivalHandler, /) -> Reply:
        """Refuse with `InvalidCredential`, which ends the connection, or pass on."""
        caller = arrival.caller
        if caller is None:
            raise Unauthenticated
        note(arrival.trail, caller)
        if not self._is_current(caller):
            raise InvalidCredential("the credential that opened the connection no longer holds")
        return await onward(arrival)

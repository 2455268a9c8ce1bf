"""Tokens behind what is open: while a stream or a connection lives, their issuer is asked again (AUTHN-06, OAUTH-05).

Who brings a token with each request is looked at anew once the last answer is too old. A stream brings it once. So the
tokens that issuers are asked about are kept here, in memory alone: for as long as an answer may be believed, and for as
long as somebody asks whether one still holds, which streams and connections do every few seconds.

One table for a process and all generations of its configuration, for streams outlive a reload.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.refusal import InvalidCredential, Overloaded, Refusal
from mantlet.core.tasks import Tasks

MAX_HELD: Final = 10_000
"""Longest unasked first out; one that is gone ends what it opened no sooner than it ends itself."""
MAX_ASKING: Final = 8
"""Questions at once; the others wait for their turn, and hold meanwhile: our own bound is no fault of theirs."""
AGAIN_S: Final = 2.0
"""At the earliest, however short an answer may be believed, and after a question that was not answered."""
UNANSWERED_S: Final = 10.0
"""How much older an answer may grow while the issuer does not answer. After it nobody vouches for the token."""

Look = Callable[[bytes], Awaitable[Caller | None]]
"""Asks the issuer: whose the token is, or None where that was known. Raises `InvalidCredential` when it is over."""


@dataclass(slots=True)
class _Held:
    credential: bytes = field(repr=False)
    caller: Caller | None
    answered_s: float
    tried_s: float
    wanted_s: float
    is_failing: bool = False
    is_over: bool = False


class HeldTokens:
    """Everything runs on one loop; `holds` never waits, and starts the question whose answer a later call gives."""

    def __init__(self, clock: Clock, tasks: Tasks) -> None:
        self._clock, self._tasks = clock, tasks
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._due: dict[str, Look] = {}
        self._asking = 0

    def __len__(self) -> int:
        return len(self._held)

    def keep(self, credential: bytes, caller: Caller | None, fresh_s: float) -> str:
        """Note an answer that was just had; gives the word that `holds` knows the token by."""
        now_s, name = self._clock.monotonic(), sha256(credential).hexdigest()[:32]
        self._held[name] = _Held(credential, caller, now_s, now_s, now_s)
        self._held.move_to_end(name)
        self._forget(now_s, fresh_s)
        return name

    def holds(self, name: str, caller: Caller, look: Look, fresh_s: float) -> bool:
        """Whether the issuer, when it was last asked, let the token give what `caller` has.

        True for a token that is not known here: another process has it, and asks.
        """
        held = self._held.get(name)
        if held is None:
            return True
        now_s = held.wanted_s = self._clock.monotonic()
        self._held.move_to_end(name)
        if held.is_over or not _gives(held.caller, caller):
            return False
        age_s = now_s - held.answered_s
        if held.is_failing and age_s >= fresh_s + UNANSWERED_S:
            return False
        if age_s >= fresh_s and now_s - held.tried_s >= AGAIN_S:
            self._ask(name, look)
        return True

    def _ask(self, name: str, look: Look) -> None:
        self._due.setdefault(name, look)
        if self._asking < MAX_ASKING:
            self._asking += 1
            self._tasks.start(self._ask_all(), "introspection.held")

    async def _ask_all(self) -> None:
        try:
            while self._due:
                name = next(iter(self._due))
                await self._renew(name, self._due.pop(name))
        finally:
            self._asking -= 1

    async def _renew(self, name: str, look: Look) -> None:
        held = self._held.get(name)
        if held is None:
            return
        held.tried_s = self._clock.monotonic()
        try:
            caller = await look(held.credential)
        except InvalidCredential:
            held.is_over = True
            return
        except Overloaded:
            return  # others' questions took all places
        except Refusal:
            held.is_failing = True
            return
        held.caller = caller or held.caller
        held.answered_s, held.is_failing = self._clock.monotonic(), False

    def _forget(self, now_s: float, fresh_s: float) -> None:
        """Those that nobody asks for any more are first: a known credential opens streams for `fresh_s` at most."""
        while self._held:
            name, oldest = next(iter(self._held.items()))
            if len(self._held) <= MAX_HELD and now_s - oldest.wanted_s <= fresh_s + UNANSWERED_S:
                return
            del self._held[name]


def _gives(found: Caller | None, caller: Caller) -> bool:
    """Whether what is found now is all that `caller` got when it came."""
    return found is None or (found.key == caller.key and found.roles >= caller.roles and found.scopes >= caller.scopes)

"""The step that lets a dangerous call wait until a human has said yes to exactly this one."""

from collections.abc import Awaitable, Callable
from typing import Final

from mantlet.core.call import Call, Reply
from mantlet.core.clock import Clock
from mantlet.core.policy import CallHandler
from mantlet.core.refusal import ApprovalDenied, ApprovalExpired, ApprovalPending, Denied
from mantlet.policies.approvals.asked import Request, request_of
from mantlet.policies.approvals.book import Book

POLL_S: Final = 1.0
"""How soon a decision is seen that another process took."""
MAX_HELD: Final = 200
"""Calls kept waiting in one process; more are answered `approval_pending` at once."""
SPARE_S: Final = 1.0
"""What a held call keeps of its deadline, to be answered in."""

Matches = Callable[[str], object]
Announce = Callable[[Request], object]
DefinitionOf = Callable[[str, str], str]
Recheck = Callable[[Call], None]


class Approvals:
    """Stands behind `authorize`: only who may call at all makes somebody read the request."""

    def __init__(
        self,
        book: Book,
        matches: Matches,
        *,
        clock: Clock,
        timeout_s: float,
        hold_s: float,
        definition_of: DefinitionOf,
        announce: Announce,
        recheck: Recheck,
    ) -> None:
        """`recheck` raises when a call that has waited may no longer go on."""
        self._book, self._matches, self._clock = book, matches, clock
        self._timeout_s, self._hold_s = timeout_s, hold_s
        self._definition_of, self._announce, self._recheck = definition_of, announce, recheck
        self.held = 0

    def __call__(self, call: Call, onward: CallHandler, /) -> Awaitable[Reply]:
        """Pass on what needs no approval; let the rest wait, and refuse it with `ApprovalPending`, `ApprovalDenied` or
        `ApprovalExpired`."""
        if call.method != "tools/call":
            return onward(call)
        if not self._matches(call.target) and not self._matches(f"{call.server}__{call.target}"):
            return onward(call)
        return self._decided(call, onward)

    async def _decided(self, call: Call, onward: CallHandler) -> Reply:
        definition = self._definition_of(call.server, call.target)
        request = await self._asked(call, definition)
        call.trail.notes["approval"] = request.id
        await self._approval(request, call)
        # It may have waited a while: what stopped it or changed the tool meanwhile counts.
        self._recheck(call)
        if self._definition_of(call.server, call.target) != request.definition:
            raise ApprovalDenied(request.id, "the tool's definition changed after the request")
        if not await self._book.take(request):
            raise ApprovalDenied(request.id, "the approval was used by another call")
        decision = await self._book.decision(request)
        call.trail.notes["approved_by"] = "" if decision is None else decision.by
        return await onward(call)

    async def _asked(self, call: Call, definition: str) -> Request:
        def make(new_id: str) -> Request:
            return request_of(call, definition, new_id=new_id, now_s=self._clock.wall(), timeout_s=self._timeout_s)

        try:
            request, is_new = await self._book.ask(make)
        except ValueError as error:
            raise Denied(
                "This call needs approval, and has more arguments than can be shown.", why=str(error)
            ) from None
        if is_new:
            self._announce(request)
        return request

    async def _approval(self, request: Request, call: Call) -> None:
        until_s = min(self._clock.monotonic() + self._hold_s, call.deadline_s - SPARE_S)
        may_wait = self.held < MAX_HELD
        self.held += 1
        try:
            while True:
                match await self._book.state(request):
                    case "approved":
                        return
                    case "denied":
                        raise ApprovalDenied(request.id, "a human said no")
                    case "expired":
                        raise ApprovalExpired(request.id)
                    case "used":
                        raise ApprovalDenied(request.id, "the approval was used by another call")
                left_s = until_s - self._clock.monotonic()
                if left_s <= 0 or not may_wait:
                    raise ApprovalPending(request.id, request.until_s)
                await self._book.wait(request, min(left_s, POLL_S))
        finally:
            self.held -= 1

"""One list of every server, at once, under one deadline: who is slow or broken is named, never waited for."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from mantlet.core.call import Call
from mantlet.core.policy import CallHandler
from mantlet.core.refusal import DeadlineExceeded, Refusal, SessionNotFound
from mantlet.policies.aggregate.behind import Behind, BehindSessions
from mantlet.policies.aggregate.listing import Listing, Page, PageReader
from mantlet.policies.aggregate.session import Session
from mantlet.wire.mcp import calls
from mantlet.wire.mcp.replies import answer_in

MAX_PAGES: Final = 100
MAX_ITEMS: Final = 10_000
"""Per server: a list that never ends is cut, and says so."""

CUT: Final = "truncated"
"""Stands for a refusal's word where a list had no end."""

Found = dict[str, Listing]
Outcome = Listing | Refusal


class Fanout:
    """Asks all servers for a list, each as the caller and down the whole path."""

    def __init__(self, behind: BehindSessions, timeout_s: float, monotonic: Callable[[], float]) -> None:
        self._behind = behind
        self._timeout_s = timeout_s
        self._monotonic = monotonic
        self._reader = PageReader()

    async def lists(
        self,
        call: Call,
        servers: Sequence[str],
        session: Session | None,
        onward: CallHandler,
        *,
        method: str = "",
    ) -> tuple[Found, dict[str, str]]:
        """The items of every server that answered in time, and the reason of every other, in configured order.

        A legacy call is in a `session`, and so is what is asked for it.
        """
        method = method or call.method
        # A group, not `gather`: when one fails as nobody expected, the others are ended and not left behind.
        async with asyncio.TaskGroup() as group:
            asked = {server: group.create_task(self._one(call, server, method, session, onward)) for server in servers}
        found: Found = {}
        errors: dict[str, str] = {}
        for server, task in asked.items():
            outcome = task.result()
            if isinstance(outcome, Refusal):
                errors[server] = outcome.reason
            else:
                found[server] = outcome
                if outcome.is_cut:
                    errors[server] = CUT
        return found, errors

    async def _one(self, call: Call, server: str, method: str, session: Session | None, onward: CallHandler) -> Outcome:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._in_session(call, server, method, session, onward)
        except TimeoutError:
            return DeadlineExceeded()
        except Refusal as refusal:
            return refusal

    async def _in_session(
        self, call: Call, server: str, method: str, session: Session | None, onward: CallHandler
    ) -> Outcome:
        if session is None:
            return await self._pages(call, server, method, onward, None)
        behind = await self._behind.at(server, session, call, onward)
        try:
            return await self._pages(call, server, method, onward, behind)
        except SessionNotFound:
            # The server forgot it, as one does that was started again: a new one, once.
            behind = await self._behind.renewed(behind, session, call, onward)
            return await self._pages(call, server, method, onward, behind)

    async def _pages(self, call: Call, server: str, method: str, onward: CallHandler, behind: Behind | None) -> Listing:
        deadline_s = min(call.deadline_s, self._monotonic() + self._timeout_s)
        pages: list[Page] = []
        cursor: str | None = None
        items = 0
        while len(pages) < MAX_PAGES and items < MAX_ITEMS:
            params = calls.list_params(call, cursor)
            asked = calls.request(
                call,
                server,
                method,
                params,
                session="" if behind is None else behind.session,
                deadline_s=deadline_s,
                version="" if behind is None else behind.version,
            )
            page = self._reader.read(server, method, await answer_in(await onward(asked)))
            if page is None:
                return Listing(tuple(pages))
            pages.append(page)
            items += len(page.items)
            if (cursor := page.cursor) is None:
                return Listing(tuple(pages))
        return Listing(tuple(pages), is_cut=True)

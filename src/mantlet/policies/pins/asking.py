"""Asking a server what its definitions are, on the occasion of somebody's call."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from mantlet.core.call import Call
from mantlet.core.definition import DefinitionKind
from mantlet.core.policy import CallHandler
from mantlet.core.refusal import BadUpstream, DeadlineExceeded
from mantlet.policies.pins.definitions import INSTRUCTIONS, LISTED
from mantlet.wire.mcp import calls
from mantlet.wire.mcp.replies import is_method_not_found, read

MAX_PAGES: Final = 100
MAX_ITEMS: Final = 10_000
"""Of one server's list. What is beyond is not known, and so not let through."""

_METHOD: Final = {kind: method for method, kind in LISTED.items()}


class Asking:
    """Asks as the caller does and in its session: servers may have other tools for another."""

    def __init__(self, ask: CallHandler, timeout_s: float, monotonic: Callable[[], float]) -> None:
        self._ask = ask
        self._timeout_s = timeout_s
        self._monotonic = monotonic

    async def items(self, call: Call, kind: DefinitionKind) -> list[Mapping[str, Any]]:
        """All items of the kind that the call's server has. Raises what asking raises, `DeadlineExceeded` too."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._pages(call, kind)
        except TimeoutError:
            raise DeadlineExceeded("The server does not say in time what its tools are.") from None

    async def instructions(self, call: Call) -> str:
        """What the server tells everybody about itself; empty when it says nothing. For a modern call."""
        deadline_s = min(call.deadline_s, self._monotonic() + self._timeout_s)
        params = calls.list_params(call, None)
        asked = calls.request(call, call.server, "server/discover", params, session="", deadline_s=deadline_s)
        try:
            async with asyncio.timeout(self._timeout_s):
                result = (await read(await self._ask(asked))).get("result")
        except TimeoutError:
            raise DeadlineExceeded("The server does not say in time what it is.") from None
        text = result.get(INSTRUCTIONS) if type(result) is dict else None
        return text if type(text) is str else ""

    async def _pages(self, call: Call, kind: DefinitionKind) -> list[Mapping[str, Any]]:
        deadline_s = min(call.deadline_s, self._monotonic() + self._timeout_s)
        found: list[Mapping[str, Any]] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            params = calls.list_params(call, cursor)
            asked = calls.request(call, call.server, _METHOD[kind], params, session=call.session, deadline_s=deadline_s)
            message = await read(await self._ask(asked))
            result = message.get("result")
            if type(result) is not dict:
                if is_method_not_found(message):
                    break
                raise BadUpstream(why=f"{call.server}: {_METHOD[kind]} was answered with an error")
            items = result.get(kind)
            found += [item for item in items if type(item) is dict] if type(items) is list else []
            cursor = result.get("nextCursor")
            if type(cursor) is not str or len(found) >= MAX_ITEMS:
                break
        return found[:MAX_ITEMS]

"""What was not approved is not there: absent from lists, and refused when it is called (TOOL-01 … TOOL-03).

A call to a tool that nobody has seen yet makes the node ask the server what it is, once for all who wait for it. So
nothing is ever called unseen, and a server that was quiet about a change is found out within `refresh`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from mantlet.core.call import Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.definition import Definition, DefinitionKey, DefinitionKind
from mantlet.core.policy import CallHandler
from mantlet.core.refusal import InvalidParams, Quarantined
from mantlet.policies.aggregate.recent import Recent
from mantlet.policies.pins.asking import Asking
from mantlet.policies.pins.definitions import INTRODUCTIONS, LISTED
from mantlet.policies.pins.listening import Listening
from mantlet.policies.pins.lists import Lists
from mantlet.policies.pins.shown import Shown
from mantlet.wire.mcp.calls import version_of

SYNC_S: Final = 1.0
"""How often what others decided is looked for: an approval acts everywhere within twice that."""

_GATED: Final[dict[str, DefinitionKind]] = {
    "tools/call": "tools",
    "tasks/result": "tools",  # their target is the tool whose call the task is
    "tasks/get": "tools",
    "prompts/get": "prompts",
}
_FILTERED: Final = frozenset({*LISTED, *INTRODUCTIONS, "subscriptions/listen"})
_WORD: Final = {"tools": "tool", "prompts": "prompt"}


class Pins:
    """Costs a call to a known tool two look-ups."""

    def __init__(
        self,
        shown: Shown,
        asking: Asking,
        *,
        refresh_s: float,
        wait_s: float,
        monotonic: Callable[[], float],
        listening: Listening | None = None,
    ) -> None:
        self._shown = shown
        self._listening = listening
        if listening is not None:
            listening.changed = self._forget
        self._tools = shown.tools
        self._asking = asking
        self._lists = Lists(shown)
        self._version = shown.book.version
        self._refresh_s, self._wait_s = refresh_s, wait_s
        self._monotonic = monotonic
        self._recent = Recent(monotonic)
        self._asked_s: dict[str, float] = {}
        self._flights: dict[tuple[str, DefinitionKind], asyncio.Future[None]] = {}

    @property
    def shown(self) -> Shown:
        """What may be used now."""
        return self._shown

    @property
    def asking(self) -> Asking:
        """How servers are asked."""
        return self._asking

    def __call__(self, call: Call, onward: CallHandler, /) -> Awaitable[Reply]:
        """Refuse with `Quarantined`, or `InvalidParams` for what the server has not; or pass on, and filter lists."""
        method = call.method
        if method == "tools/call":
            tools = self._tools.get(call.server)
            if tools is not None and call.target in tools:
                return onward(call)
        if (kind := _GATED.get(method)) is not None:
            return self._gated(call, kind, onward)
        if method in _FILTERED or call.kind == "stream":
            return self._filtered(call, onward)
        return onward(call)

    def definition_of(self, server: str, tool: str) -> Definition | None:
        """The definition that a tool is called by; None for one that may not be called now."""
        tools = self._tools.get(server)
        return None if tools is None else tools.get(tool)

    def sync(self) -> None:
        """Take what others decided, and forget what was seen too long ago."""
        book = self._shown.book
        book.sync()
        if book.version != self._version:
            self._version = book.version
            self._shown.forget()
            self._recent = Recent(self._monotonic)
        now_s = self._monotonic()
        for server, asked_s in list(self._asked_s.items()):
            if now_s - asked_s > self._refresh_s:
                self._forget(server)

    async def _gated(self, call: Call, kind: DefinitionKind, onward: CallHandler) -> Reply:
        key = DefinitionKey(call.server, kind, call.target)
        if not self._shown.is_decided(key):
            await self._learn(call, key)
        if self._shown.of(*key) is not None:
            return await onward(call)
        if why := self._shown.why_withheld(key):
            call.trail.notes["quarantine"] = why
            raise Quarantined(f"This {_WORD[kind]} is withheld until its definition is approved.", why=why)
        raise InvalidParams(f"Unknown {_WORD[kind]}: {call.target[:128]}", why="its server does not list it")

    async def _filtered(self, call: Call, onward: CallHandler) -> Reply:
        reply = await onward(call)
        server = call.server
        if call.method in LISTED and server not in self._asked_s:
            self._note_asked(server)
        return self._lists.filtered(reply, server, version_of(call).decode(), lambda: self._forget(server))

    async def _learn(self, call: Call, key: DefinitionKey) -> None:
        """Ask the server, unless somebody is about to: then wait, and ask as this caller only if that told nothing."""
        place = (key.server, key.kind)
        flight = self._flights.get(place)
        if flight is not None:
            await asyncio.wait({flight}, timeout=self._wait_s)
            if self._shown.is_decided(key):
                return
        if self._recent.has(f"{key.kind} {key.server}", call.caller):
            return
        await self._ask(call, key.kind, place)

    async def _ask(self, call: Call, kind: DefinitionKind, place: tuple[str, DefinitionKind]) -> None:
        flight = asyncio.get_running_loop().create_future()
        self._flights.setdefault(place, flight)
        try:
            items = await self._asking.items(call, kind)
        finally:
            if self._flights.get(place) is flight:
                del self._flights[place]
            flight.set_result(None)
        self._shown.take(call.server, kind, items, version_of(call).decode())
        self._note_asked(call.server)
        self._note(kind, call.server, call.caller)

    def _note_asked(self, server: str) -> None:
        self._asked_s.setdefault(server, self._monotonic())
        if self._listening is not None:
            self._listening.begin(server)

    def _note(self, kind: str, server: str, caller: Caller) -> None:
        self._recent.note(f"{kind} {server}", caller)

    def _forget(self, server: str) -> None:
        self._shown.forget(server)
        self._asked_s.pop(server, None)
        for kind in ("tools", "prompts"):
            self._recent.changed(f"notifications/{kind} {server}/list_changed")

"""Calls that wait for a human, as that human sees and decides on them."""

from collections.abc import Mapping
from typing import Any, Final

from mantlet.core.caller import Caller
from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Journal
from mantlet.core.refusal import Denied, InvalidParams, NotFound
from mantlet.events.audit.administrative import note
from mantlet.policies.approvals.asked import Decision, Request, is_own
from mantlet.policies.approvals.asked import State as Standing
from mantlet.policies.approvals.book import Book
from mantlet.policies.approvals.visible import visible

MAX_NOTE_CHARACTERS: Final = 500


class ApprovalsAdmin:
    """What the admin API does. Without the record nothing is decided (AUD-02)."""

    def __init__(self, book: Book | None, journal: Journal) -> None:
        self._book, self._journal = book, journal

    async def all(self) -> list[Mapping[str, Any]]:
        """Those that are kept, the newest first."""
        return [_told(request, state) for request, state in await self._open().all()]

    async def one(self, request_id: str) -> Mapping[str, Any]:
        """All there is to see of one. Raises `NotFound`."""
        book = self._open()
        request = await self._find(request_id)
        decision = await book.decision(request)
        return {**_told(request, await book.state(request)), **_whole(request), **_decided(decision)}

    async def decide(self, request_id: str, by: Caller, *, allows: bool, remark: str) -> Mapping[str, Any]:
        """Say yes or no. Raises `Denied` for the requester, `InvalidParams` for what is decided or over."""
        book = self._open()
        request = await self._find(request_id)
        if len(remark) > MAX_NOTE_CHARACTERS or not remark.isprintable():
            raise InvalidParams(f"A note is a line of at most {MAX_NOTE_CHARACTERS} characters.")
        if is_own(request, by):
            raise Denied("Nobody approves what they ask for themselves.", why="the requester")
        state = await book.state(request)
        if state != "pending":
            raise InvalidParams(f"This request is {state}.")
        event = "approval.given" if allows else "approval.denied"
        await note(
            self._journal, SYSTEM, event, object=f"{request.server} {request.tool}", principal=by.name,
            tenant=request.tenant, notes={"approval": request.id, "digest": request.digest, "note": remark},
        )  # fmt: skip
        stands = await book.decide(request, allows=allows, by=by.name, note=remark)
        if stands.allows != allows:
            raise InvalidParams("This request was decided by another a moment ago.")
        return {**_told(request, await book.state(request)), **_decided(stands)}

    def _open(self) -> Book:
        if self._book is None:
            raise NotFound("No call needs approval here: set authorization.approvals in the configuration.")
        return self._book

    async def _find(self, request_id: str) -> Request:
        request = await self._open().get(request_id)
        if request is None:
            raise NotFound
        return request


def _told(request: Request, state: Standing) -> Mapping[str, Any]:
    return {
        "id": request.id,
        "state": state,
        "server": request.server,
        "tool": visible(request.tool),
        "caller": visible(request.caller),
        "asked_s": round(request.asked_s, 3),
        "until_s": round(request.until_s, 3),
    }


def _whole(request: Request) -> Mapping[str, Any]:
    return {
        "act": [visible(actor) for actor in request.act],
        "params": visible(request.params),
        "digest": request.digest,
        "definition": request.definition,
        "request_id": request.request_id,
        "address": request.peer,
    }


def _decided(decision: Decision | None) -> Mapping[str, Any]:
    if decision is None:
        return {}
    return {
        "decided_by": decision.by,
        "decided_s": round(decision.at_s, 3),
        "usable_until_s": round(decision.until_s, 3) if decision.allows else None,
        "note": decision.note,
    }

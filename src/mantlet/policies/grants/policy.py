"""The step that asks for consent where a call found none, in the way that its client understands.

It stands outside of all that may ask the server something on the call's behalf, and does nothing until one of them
raises `ConsentRequired`: so nobody is asked who may not call.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from mantlet.core.call import Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.headers import JSON
from mantlet.core.policy import CallHandler
from mantlet.core.refusal import ConsentRequired, Denied, MissingClientCapability, UrlElicitationRequired
from mantlet.policies.grants.asked import Askings
from mantlet.policies.grants.port import Held
from mantlet.policies.grants.waiting import TOOL, answered, connected
from mantlet.wire import jsonrpc
from mantlet.wire.mcp.methods import META_CAPABILITIES

KEY: Final = "mantlet.consent"
"""Ours among the input requests of a round."""
CAN_ASK: Final = frozenset({"tools/call", "prompts/get", "resources/read"})
"""What may be answered with a question (2026-07-28, basic/patterns/mrtr, "Supported Requests")."""
HOLD_S: Final = 25.0
"""How long a retry waits for its user, who is in the browser; then it is asked again. Proxies give up after 30 s."""
POLL_S: Final = 0.5
MAX_WAITING: Final = 200
"""Calls that wait in one process; more are asked again at once."""
SPARE_S: Final = 1.0
_UNPROVABLE: Final = (
    "{} is used with its user's consent, and callers with this kind of credential cannot give it: no page here can see "
    "who they are. Call with an API key, or a token of an issuer that people can log in at here."
)


class Grants:
    """`grants` are those of the upstreams that have callers' own; `page` is the URL where consent is given.

    `may_reach` is the rules' word on whether a caller may talk to a server at all: what the node says in a server's
    place, it says to those alone. `can_prove` is whether the page has a way to see that somebody is that caller: others
    are told so at once, instead of being led to a page that tells them.
    """

    def __init__(
        self,
        grants: Mapping[str, Held],
        askings: Askings,
        page: str,
        clock: Clock,
        *,
        may_reach: Callable[[Caller, str], bool],
        can_prove: Callable[[Caller], bool],
        version: str,
    ) -> None:
        self._grants, self._askings, self._page, self._clock = grants, askings, page, clock
        self._may_reach, self._can_prove, self._version = may_reach, can_prove, version
        self.waiting = 0

    def __call__(self, call: Call, onward: CallHandler, /) -> Awaitable[Reply]:
        """Pass on; answer or refuse what needs a consent that is not there."""
        grant = self._grants.get(call.server)
        return onward(call) if grant is None else self._passed(call, grant, onward)

    async def check(self, call: Call, onward: CallHandler, /) -> Reply:
        """A step of its own, for before something is spent on the call: raises `ConsentRequired`."""
        if (grant := self._grants.get(call.server)) is not None and call.kind == "request":
            await grant.token(call.caller)
        return await onward(call)

    async def _passed(self, call: Call, grant: Held, onward: CallHandler) -> Reply:
        action, call = _taken(call)
        try:
            if action == "accept":
                await self._wait(call, grant)
            if call.method == "tools/call" and call.target == TOOL and self._may_reach(call.caller, call.server):
                await grant.token(call.caller)
                return connected(call)
            return await onward(call)
        except ConsentRequired as refusal:
            if not self._can_prove(call.caller):
                call.trail.notes["consent"] = "impossible"
                raise Denied(
                    _UNPROVABLE.format(call.server), why=f"{refusal.why}; and the page knows no such caller"
                ) from refusal
            if self._may_reach(call.caller, call.server) and (reply := self._in_its_place(call)) is not None:
                return reply
            identity = await self._askings.ask(call.caller, call.server)
            call.trail.notes["consent"] = "declined" if action in ("decline", "cancel") else "asked"
            return _asked(
                call, refusal, f"{self._page}?id={identity}", identity, is_declined=action in ("decline", "cancel")
            )

    def _in_its_place(self, call: Call) -> Reply | None:
        reply = answered(call, self._version)
        if reply is not None:
            call.trail.notes["consent"] = "missing"
        return reply

    async def _wait(self, call: Call, grant: Held) -> None:
        """Until the user has consented. Raises `ConsentRequired` when they have not in time."""
        until_s = min(self._clock.monotonic() + HOLD_S, call.deadline_s - SPARE_S)
        self.waiting += 1
        try:
            while True:
                try:
                    await grant.token(call.caller)
                except ConsentRequired:
                    left_s = until_s - self._clock.monotonic()
                    if left_s <= 0 or self.waiting > MAX_WAITING:
                        raise
                    await asyncio.sleep(min(left_s, POLL_S))
                else:
                    return
        finally:
            self.waiting -= 1


def _asked(call: Call, refusal: ConsentRequired, url: str, identity: str, *, is_declined: bool) -> Reply:
    """The question as a modern client takes it; any other is told by the error that its revision has for it."""
    if call.era == "legacy":
        raise UrlElicitationRequired(call.server, url, identity=identity, why=refusal.why) from refusal
    if call.method not in CAN_ASK or call.kind != "request" or call.id is None or is_declined:
        raise ConsentRequired(call.server, url, identity=identity, why=refusal.why) from refusal
    if not _can_open(call.params):
        raise MissingClientCapability(call.server, url, identity=identity, why=refusal.why) from refusal
    message = f"{call.server} needs your consent before it can be used in your name."
    question = {"method": "elicitation/create", "params": {"mode": "url", "url": url, "message": message}}
    result = {"resultType": "input_required", "inputRequests": {KEY: question}}
    return Reply(200, [JSON], jsonrpc.result(call.id, result), origin="node")


def _can_open(params: Mapping[str, Any]) -> bool:
    """Whether the client can send its user to a page."""
    meta = params.get("_meta")
    capabilities = meta.get(META_CAPABILITIES) if type(meta) is dict else None
    elicitation = capabilities.get("elicitation") if type(capabilities) is dict else None
    return type(elicitation) is dict and "url" in elicitation


def _taken(call: Call) -> tuple[str, Call]:
    """What the user did when they were asked, and the call without it: the server never asked."""
    responses = call.params.get("inputResponses")
    if type(responses) is not dict or KEY not in responses:
        return "", call
    ours = responses[KEY]
    action = ours.get("action") if type(ours) is dict else None
    params = {name: value for name, value in call.params.items() if name != "inputResponses"}
    if rest := {name: value for name, value in responses.items() if name != KEY}:
        params["inputResponses"] = rest
    message = {**call.message, "params": params}
    return str(action), replace(call, params=params, message=message, body=jsonrpc.encode(message))

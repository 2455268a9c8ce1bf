"""The step that answers again what was answered before. It stands last, right before `forward`.

All that guards a call has let this one pass for this caller by then, a hit as well as a miss; and what holds results to
schemas, filters and rules sees every reply on its way back, for each caller anew. So what is kept here is what the
server said, never what one caller was shown of it.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

from mantlet.core.call import Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.headers import JSON, Headers
from mantlet.core.policy import CallHandler
from mantlet.core.ports import Consents
from mantlet.core.refusal import Refusal
from mantlet.policies.cache.answer import Answer, as_meant, keep_s, read_answer, told, told_stale
from mantlet.policies.cache.cache import Ask, Cache, Made
from mantlet.policies.cache.carried import as_own, given_back, whole
from mantlet.policies.cache.failure import is_servers
from mantlet.policies.cache.hearing import Changed, heard, scopes_of
from mantlet.policies.cache.key import asked, fingerprint, key_of
from mantlet.policies.cache.memory import Entry
from mantlet.policies.cache.plan import HINTED, Plan, Terms, may_be_asked_again
from mantlet.wire.mcp.calls import version_of

NOTE: Final = "cache"
"""The note of the record that says where an answer came from: `hit`, `stale`, `shared` or `fetched`."""
LISTEN: Final = "subscriptions/listen"
MAX_NAME_CHARACTERS: Final = 128
MAX_CALLERS: Final = 8
"""Of one message, whose keys are at hand."""
APPROVAL: Final = "approval"
"""The note of a call that a human approved."""
_TOOLS: Final = "tools/call"

Given = Answer | Reply
"""What can be told to many, or what one caller's call brought and is its alone."""
DefinitionOf = Callable[[str, str], str]
"""The hash of the definition that a server's tool is pinned with; empty where nothing is."""
SpeaksLegacy = Callable[[str], bool]
"""Whether a server is known to speak the legacy era itself, so that what its answers lack was not taken out here."""
Count = Callable[[str], None]


class Asked(NamedTuple):
    """All that the key of a kept message depends on but the message, and that key."""

    caller: Caller
    what: tuple[str, str, str]
    revision: str
    pin: str
    key: bytes


class CachePolicy:
    """`revision` says under which configuration answers were fetched, by server: another is another question.

    Costs a call that is never kept two look-ups; a hit some 10 us, where forwarding takes 50 and a server besides.
    """

    def __init__(
        self,
        plan: Plan,
        cache: Cache[Given],
        *,
        revision: Callable[[str], str],
        definition_of: DefinitionOf,
        speaks_legacy: SpeaksLegacy,
        monotonic: Callable[[], float],
        changed: Changed,
        count: Count = lambda outcome: None,
        consents: Mapping[str, Consents] = {},
        while_stale_s: float = 0.0,
        if_error_s: float = 0.0,
    ) -> None:
        self._plan, self._cache = plan, cache
        self._revision, self._definition_of, self._speaks_legacy = revision, definition_of, speaks_legacy
        self._monotonic, self._changed, self._count, self._consents = monotonic, changed, count, consents
        self._while_stale_s, self._if_error_s = while_stale_s, if_error_s

    def __call__(self, call: Call, onward: CallHandler, /) -> Awaitable[Reply]:
        """Answer from what is kept, fetch once for all who ask now, or pass on."""
        if (said := call.said) is not None and said.found is not None:
            found = said.found.get(self)
            if found is not None and (reply := self._again(call, found)) is not None:
                return _given(reply)
        terms = self._plan.of(call.server, call.method, call.target)
        if terms is None:
            if call.kind == "stream" or call.method == LISTEN:
                return self._listened(call, onward)
            return onward(call)
        if not may_be_asked_again(call) or not call.arrival.headers.once(_takes_json):
            return onward(call)
        return self._answered(call, onward, terms)

    async def _answered(self, call: Call, onward: CallHandler, terms: Terms) -> Reply:
        cache, question = self._cache, self._question(call)
        who = fingerprint(call.caller)
        if (consents := self._consents.get(call.server)) is not None:
            # A hit, too, is for who may be asked for at the server, and by the account that it was fetched with.
            who = f"{who} {await consents.consent(call.caller)}"
        mine = key_of(who, *question)
        if terms.may_share:
            everybodys = key_of("", *question)
            for key in (everybodys, mine):
                if (reply := self._from_memory(call, onward, terms, key, mine)) is not None:
                    return reply
            if not cache.is_alone(everybodys):
                reply = await self._fetched(call, onward, terms, everybodys, mine)
                if reply is not None:
                    return reply
                # Not for everybody after all: what is ours may have come by the same way.
        if (reply := self._from_memory(call, onward, terms, mine, mine)) is not None:
            return reply
        if not cache.is_alone(mine):
            reply = await self._fetched(call, onward, terms, mine, mine)
            if reply is not None:
                return reply
        self._count("alone")
        return await onward(call)

    def _again(self, call: Call, found: "dict[int, Asked]") -> Reply | None:
        """A fresh answer to a message that has had one, from where that was: all that its key says is as it was."""
        asked, said = found.get(id(call.caller)), call.said
        if asked is None or asked.caller is not call.caller or said is None or call.params is not said.params:
            return None
        server, method, target = call.server, call.method, call.target
        if asked.what != (server, method, target) or asked.revision != self._revision(server):
            return None
        if method == _TOOLS and asked.pin != self._definition_of(server, target):
            return None
        if APPROVAL in call.trail.notes or not call.arrival.headers.once(_takes_json):
            return None
        entry = self._cache.look(asked.key)
        if entry is None:
            return None
        now_s = self._monotonic()
        return (
            self._hit(call, entry, now_s) if entry.over_s(now_s) < 0 and not self._cache.is_due(entry, now_s) else None
        )

    def _note(self, call: Call, key: bytes) -> None:
        """Have this very message found again with its key: it has had one answer twice, and will come a third time."""
        said, server, method = call.said, call.server, call.method
        if said is None or call.params is not said.params or (call.era == "legacy" and method in HINTED):
            return
        if server in self._consents:
            return  # whether the consent still holds is asked every time
        if not said.is_kept:
            said.keeper.keep(call)
        if said.found is None:
            said.found = {}
        found: dict[int, Asked] = said.found.setdefault(self, {})
        if len(found) >= MAX_CALLERS:
            found.clear()
        pin = self._definition_of(server, call.target) if method == _TOOLS else ""
        what = (server, method, call.target)
        # With the caller itself: while it is kept, no other has its identity.
        found[id(call.caller)] = Asked(call.caller, what, self._revision(server), pin, key)

    def _question(self, call: Call) -> tuple[object, ...]:
        """All that an answer depends on but who asks (CACHE-01)."""
        server, method = call.server, call.method
        pin = self._definition_of(server, call.target) if method == _TOOLS else ""
        version = version_of(call).decode("latin-1")
        return call.caller.tenant, server, self._revision(server), pin, call.era, version, method, asked(call.params)

    def _from_memory(self, call: Call, onward: CallHandler, terms: Terms, key: bytes, mine: bytes) -> Reply | None:
        entry = self._cache.look(key)
        if entry is None:
            return None
        now_s = self._monotonic()
        over_s = entry.over_s(now_s)
        if over_s < 0:
            if self._cache.is_due(entry, now_s):
                self._cache.refresh(entry, self._ask(call, onward, terms, key, mine))
            self._note(call, key)
            return self._hit(call, entry, now_s)
        if over_s < self._while_stale_s and not _is_failure(entry):
            self._cache.refresh(entry, self._ask(call, onward, terms, key, mine))
            return self._stale(call, entry, over_s)
        return None

    async def _fetched(self, call: Call, onward: CallHandler, terms: Terms, key: bytes, mine: bytes) -> Reply | None:
        """What is fetched now, by this call or by another that asks the same; None where it was for another alone."""
        ask = self._ask(call, onward, terms, key, mine)
        try:
            made = await self._cache.get_or_compute(ask)
        except Refusal as refusal:
            entry = self._cache.look(key) if self._if_error_s and is_servers(refusal) else None
            if entry is None or _is_failure(entry):
                raise
            if not 0 <= (over_s := entry.over_s(self._monotonic())) < self._if_error_s:
                raise
            call.trail.notes["fallback"] = refusal.reason
            return self._stale(call, entry, over_s)
        if made is None:
            return None
        if isinstance(made.value, Reply):
            self._count("alone")
            return made.value
        call.trail.notes[NOTE] = "fetched"
        self._count("miss")
        return Reply(made.value.status, [JSON], told(made.value, call.id or b"null"))

    def _ask(self, call: Call, onward: CallHandler, terms: Terms, key: bytes, mine: bytes) -> Ask[Given]:
        async def compute() -> Made[Given]:
            own = as_own(call)
            reply = await whole(await onward(own))
            assert own.id is not None
            assert call.id is not None
            answer = read_answer(reply.status, reply.body) if isinstance(reply.body, bytes) else None
            answer, kept_s = (None, None) if answer is None else self._judged(own, answer, terms)
            call.trail.notes.update(own.trail.notes)
            if answer is None or kept_s is None:
                self._cache.note_alone(key)
                return Made(given_back(reply, own.id, call.id), for_one=True)
            if key != mine and not answer.is_public:
                # Fetched for everybody, and it is somebody's: the others ask for themselves, now and for a while.
                self._cache.note_alone(key)
                return Made(answer, kept_s, key=mine)
            return Made(answer, kept_s)

        return Ask(
            key,
            compute,
            tenant=call.caller.tenant,
            scopes=scopes_of(call),
            deadline_s=call.deadline_s,
            stale_s=max(self._while_stale_s, self._if_error_s),
            name=f"{call.server} {call.method} {call.target[:MAX_NAME_CHARACTERS]}",
        )

    def _hit(self, call: Call, entry: Entry[Given], now_s: float) -> Reply:
        answer = entry.value
        assert isinstance(answer, Answer)
        self._cache.figures.hits += 1
        self._count("hit")
        call.trail.notes[NOTE] = "hit"
        return Reply(answer.status, [JSON], told(answer, call.id or b"null", now_s - entry.born_s))

    def _stale(self, call: Call, entry: Entry[Given], over_s: float) -> Reply:
        answer = entry.value
        assert isinstance(answer, Answer)
        self._cache.figures.hits += 1
        self._cache.figures.stale += 1
        self._count("stale")
        call.trail.notes[NOTE] = "stale"
        return Reply(answer.status, [JSON], told_stale(answer, call.id or b"null", over_s))

    def _judged(self, call: Call, answer: Answer, terms: Terms) -> tuple[Answer, float | None]:
        """`answer`, and how long it may be kept."""
        hints, is_legacy = call.hints, call.era == "legacy"
        if call.method not in HINTED or hints is None:
            return answer, keep_s(answer, terms, is_legacy=is_legacy)
        if hints.has_crossed:
            return as_meant(answer, hints), keep_s(answer, terms, is_legacy=not is_legacy, crossed=hints)
        if is_legacy and not self._speaks_legacy(call.server):
            # It may have crossed where nobody could tell us: what a modern server says is not told to legacy clients.
            return answer, None
        return answer, keep_s(answer, terms, is_legacy=is_legacy)

    async def _listened(self, call: Call, onward: CallHandler) -> Reply:
        return heard(await onward(call), call.server, self._changed)


async def _given(reply: Reply) -> Reply:
    return reply


def _is_failure(entry: Entry[Given]) -> bool:
    """Then it is told for `negative_ttl` and no longer: an old failure is worth nothing, and could not be marked."""
    return isinstance(entry.value, Answer) and entry.value.is_failure


def _takes_json(headers: Headers) -> bool:
    """Whether the caller takes an answer that is no stream, as MCP wants it to."""
    accept = headers.get(b"accept")
    if accept is None:
        return True
    wanted = b",".join(headers.all(b"accept")).lower()
    return b"application/json" in wanted or b"*/*" in wanted or b"application/*" in wanted

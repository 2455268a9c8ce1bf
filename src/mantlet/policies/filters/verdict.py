"""What the filters of a plan make of one part of a message: params, a result, an error. Pure."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from mantlet.policies.filters import prototype
from mantlet.policies.filters.catalogue import PROTOTYPE
from mantlet.policies.filters.plan import Action, Plan
from mantlet.policies.filters.scan import NOWHERE, Hit, names_in, nested_names_in, pointer_of, scan
from mantlet.policies.filters.texts import MAX_TEXTS, Place, Texts, collect, path_of

SKIPPED: Final = frozenset({"requestState", "cursor", "nextCursor", "taskId", "resultType", "_meta"})
"""Words of the protocol, sealed or chosen by a server. `_meta` is looked at by itself."""
_OWN: Final = ("io.modelcontextprotocol/", "progressToken", "traceparent", "tracestate")
"""Members of `_meta` that are the protocol's."""
MAX_NOTED: Final = 16
"""Findings of one message that are written down one by one."""
TOO_LARGE: Final = "budget.size"


class Verdict(NamedTuple):
    """What is to be done with a message. `refused` wins over `changed`."""

    refused: Hit | None
    changed: list[Hit]
    found: list[tuple[Hit, Action]]

    @property
    def note(self) -> str:
        """For the record: rules, what was done, and where. Never what stood there (AUD-06)."""
        said = dict.fromkeys(f"{hit.rule} {action} {pointer_of(hit) or '/'}" for hit, action in self.found)
        more = f" and {len(said) - MAX_NOTED} more" if len(said) > MAX_NOTED else ""
        return "; ".join(list(said)[:MAX_NOTED]) + more


def judge(
    value: Any,
    plan: Plan,
    root: Place | None,
    *,
    body: bytes,
    max_characters: int,
    is_uri: Callable[[Place], bool] | None = None,
) -> Verdict | None:
    """What the filters of `plan` find in `value`, a part of `body` at `root`; None for nothing."""
    hits: list[Hit] = []
    if PROTOTYPE in plan.active and prototype.is_hinted(body):
        every = collect(value, root)
        hits = names_in(every) + nested_names_in(every)
    if plan.reads_texts:
        texts = _texts(value, root)
        if len(texts.joined) > max_characters or len(texts.parts) > MAX_TEXTS:
            return _over_budget(plan)
        hits += scan(texts, plan.active, plan.changing, is_uri)
    return _sorted_out(hits, plan) if hits else None


def _texts(value: Any, root: Place | None) -> Texts:
    if type(value) is not dict:
        return collect(value, root)
    meta = value.get("_meta")
    if type(meta) is dict and (others := {name: item for name, item in meta.items() if not name.startswith(_OWN)}):
        return collect({**{name: item for name, item in value.items() if name not in SKIPPED}, "_meta": others}, root)
    return collect(value, root, SKIPPED)


def _over_budget(plan: Plan) -> Verdict | None:
    """Too much to look at: what would have been held back for a finding is held back for that."""
    actions = {plan.strictest(name) for name in plan.active - {PROTOTYPE}}
    worst: Action = "block" if "block" in actions else "log" if "log" in actions else "off"
    hit = Hit("budget", TOO_LARGE, NOWHERE, is_name=True)
    if worst == "off":
        return None
    return Verdict(hit if worst == "block" else None, [], [(hit, worst)])


def _sorted_out(hits: list[Hit], plan: Plan) -> Verdict | None:
    refused: Hit | None = None
    changed: list[Hit] = []
    found: list[tuple[Hit, Action]] = []
    for hit in hits:
        if hit.place is NOWHERE:
            action = plan.strictest(hit.filter)
        else:
            action = plan.action(hit.filter, hit.rule, _argument_of(hit.place) if plan.specials else "")
        if action == "off":
            continue
        if action == "block":
            refused = refused or hit
        elif action == "change":
            changed.append(hit)
        found.append((hit, action))
    return Verdict(refused, changed, found) if found else None


def _argument_of(place: Place) -> str:
    """The argument in which something stands; of a message without arguments, the member of its params."""
    path = path_of(place)[1:]
    step = path[1] if len(path) > 1 and path[0] == "arguments" else path[0] if path else ""
    return str(step)

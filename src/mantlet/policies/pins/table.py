"""What is pinned and what is in quarantine, and what follows for a definition that is seen. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple

from mantlet.core.definition import Definition, DefinitionKey, Held, Pin
from mantlet.policies.pins.config import Mode
from mantlet.policies.pins.definitions import is_older_form
from mantlet.policies.pins.known import Known
from mantlet.policies.pins.scan import findings
from mantlet.wire.mcp.methods import MODERN_VERSIONS

FIRST_USE: Final = "first use"


@dataclass(frozen=True, slots=True)
class Table:
    """All that was decided, by people or on first use. Never changed: a decision makes a new one."""

    pins: Mapping[DefinitionKey, Pin] = field(default_factory=dict)
    held: Mapping[DefinitionKey, Held] = field(default_factory=dict)

    def with_pins(self, *pins: Pin) -> "Table":
        """With these pinned, and out of quarantine what they pin."""
        keys = {pin.definition.key for pin in pins}
        held = {key: one for key, one in self.held.items() if key not in keys}
        return Table({**self.pins, **{pin.definition.key: pin for pin in pins}}, held)

    def with_held(self, held: Held) -> "Table":
        """With this in quarantine."""
        return replace(self, held={**self.held, held.definition.key: held})


class Verdict(NamedTuple):
    """What to do with a definition: show it, pin it and show it, or hold it back. `new` is to be kept and told."""

    action: Literal["show", "pin", "hold"]
    definition: Definition
    """The one that holds: where an older revision's form was seen, the one that is pinned."""
    why: str = ""
    is_news: bool = False


def judge(
    seen: Definition, table: Table, mode: Mode, known: Known, *, revision: str, listed: Collection[str]
) -> Verdict:
    """What follows from `seen`, which stood in one list with the names `listed`, told in a revision of MCP."""
    if mode == "off":
        return Verdict("show", seen)
    pin, held = table.pins.get(seen.key), table.held.get(seen.key)
    is_pinned = pin is not None and _is(seen, pin.definition, revision)
    if held is not None and (_is(seen, held.definition, revision) or (is_pinned and not held.is_rejected)):
        # One that went back to what was approved stays where it is until somebody has looked at it.
        return Verdict("hold", seen, held.why)
    if pin is not None and is_pinned:
        return Verdict("show", pin.definition)
    suspect = findings(seen, known, listed)
    if pin is not None and not suspect and mode == "first_use" and _is_told_more(seen, pin, revision):
        return Verdict("pin", seen)
    if pin is not None:
        return Verdict("hold", seen, "; ".join(["it has changed since it was approved", *suspect]), is_news=True)
    if former := known.former_name(seen, listed):
        suspect.insert(0, f"it is {former[:64]} under another name")
    if mode == "first_use" and not suspect and held is None:
        return Verdict("pin", seen)
    return Verdict("hold", seen, "; ".join(["it is new", *suspect]), is_news=True)


def first_use(revision: str) -> str:
    """By whom a definition is pinned that nobody approved."""
    return f"{FIRST_USE}, {revision}"


def _is(seen: Definition, decided: Definition, revision: str) -> bool:
    return seen.hash == decided.hash or (revision not in MODERN_VERSIONS and is_older_form(seen, decided))


def _is_told_more(seen: Definition, pin: Pin, revision: str) -> bool:
    """Whether it was pinned as a client of an older revision saw it, and this is the whole of the same."""
    word, _, former = pin.by.partition(", ")
    return word == FIRST_USE and former < revision and is_older_form(pin.definition, seen)

"""What was found against the lock file. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mantlet.core.definition import Definition, DefinitionKey, Pin
from mantlet.policies.pins.diff import difference
from mantlet.policies.pins.known import Known
from mantlet.policies.pins.scan import findings


@dataclass(frozen=True, slots=True)
class Difference:
    """One definition that is not what was approved, and what is suspect about it."""

    key: DefinitionKey
    what: Literal["new", "changed", "gone"]
    lines: Sequence[str] = ()
    findings: Sequence[str] = ()

    @property
    def name(self) -> str:
        """As one writes it on the command line."""
        return f"{self.key.server}/{self.key.name}"

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            **self.key._asdict(),
            "what": self.what,
            "findings": list(self.findings),
            "difference": list(self.lines),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """All of them, and the pins that the lock file would hold if they were approved."""

    differences: Sequence[Difference]
    pins: Sequence[Pin]


def compare(
    found: Sequence[Definition],
    pins: Mapping[DefinitionKey, Pin],
    servers: Collection[str],
    *,
    asked: Collection[str],
    at_s: float,
    by: str,
) -> Comparison:
    """Of the servers `asked`; pins of others stay as they are, those of servers that are configured no more go."""
    now = {definition.key: definition for definition in found}
    differences: list[Difference] = []
    kept = [pin for key, pin in pins.items() if key.server in servers and key.server not in asked]
    listed = {server: {key.name for key in now if key.server == server} for server in servers}
    known = Known(servers, (pin.definition for pin in pins.values()))
    for key, definition in sorted(now.items()):
        pin = pins.get(key)
        if pin is not None and pin.definition.hash == definition.hash:
            kept.append(pin)
            continue
        suspect = findings(definition, known, listed.get(key.server, ()))
        lines = difference(None if pin is None else pin.definition, definition)
        differences.append(Difference(key, "new" if pin is None else "changed", lines, suspect))
        known.add(definition)  # the next may look like it
        kept.append(Pin(definition, at_s, by))
    gone = sorted(key for key in pins if key not in now and (key.server in asked or key.server not in servers))
    differences += [Difference(key, "gone") for key in gone]
    return Comparison(differences, kept)

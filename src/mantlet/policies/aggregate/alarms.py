"""Somebody's name that another server has, or one that looks like it, is told to those who run the node (TOOL-02)."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from mantlet.core.record import Trail
from mantlet.policies.aggregate.catalogue import Learnt

MAX_TOLD: Final = 10_000
"""Alarms remembered as raised; with more, the oldest are raised again."""

Report = Callable[[str, Mapping[str, Any]], None]


class Alarms:
    """Into the record of the call that brought it, each time; into the log, once."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._told: OrderedDict[tuple[str, ...], None] = OrderedDict()

    def raise_for(self, kind: str, learnt: Learnt, trail: Trail) -> None:
        """What `learnt` withheld or renamed."""
        if learnt.withheld:
            trail.notes["withheld"] = learnt.say_withheld()
        if learnt.renamed:
            trail.notes["renamed"] = learnt.say_renamed()
        for item in learnt.withheld:
            self._tell("aggregate.name_withheld", kind=kind, server=item.server, name=item.name[:128], why=item.why)
        for exposed, owned in learnt.renamed.items():
            self._tell(
                "aggregate.name_taken", kind=kind, server=owned.server, name=owned.name[:128], shown_as=exposed[:128]
            )

    def _tell(self, event: str, **fields: str) -> None:
        key = (event, *fields.values())
        if key in self._told:
            return
        self._told[key] = None
        if len(self._told) > MAX_TOLD:
            self._told.popitem(last=False)
        self._report(event, fields)

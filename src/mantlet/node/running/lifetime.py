"""The node's own beginning and end, in the record."""

from contextlib import suppress

from mantlet import __version__
from mantlet.core.clock import SYSTEM
from mantlet.core.refusal import Refusal
from mantlet.events.audit.administrative import note
from mantlet.node.build.built import Node


async def note_start(node: Node, accepted: list[str]) -> None:
    """Record that the node starts, and what risks it starts with; without the record it does not (AUD-02)."""
    await note(node.journal, SYSTEM, "node.started", object=node.config.agent.name, notes={"version": __version__})
    for risk in accepted:
        await note(node.journal, SYSTEM, "risk.accepted", object=risk)


async def note_stop(node: Node) -> None:
    """Record that the node stops, if that can be recorded."""
    with suppress(Refusal):
        await note(node.journal, SYSTEM, "node.stopped", object=node.config.agent.name)

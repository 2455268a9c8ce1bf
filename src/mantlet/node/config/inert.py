"""What is understood but not acted on in this version: said aloud, and in production a reason not to start.

Silence would be worse than an error: who writes `backup: {schedule: ...}` believes that copies are made.
"""

from collections.abc import Iterator
from typing import Final

from mantlet.node.config.model import Config

SWITCHED: Final = ("llm", "p2p")
"""Sections with a switch of their own: set when it is on."""
WHOLE: Final = ("execution", "backup", "remote_agents", "alerts")
"""Sections that are set when they say anything."""


def inert(config: Config) -> list[str]:
    """The dotted keys that are set and have no effect."""
    return list(_keys(config))


def _keys(config: Config) -> Iterator[str]:
    for name in SWITCHED:
        section = getattr(config, name)
        if section is not None and section.enabled:
            yield name
    for name in WHOLE:
        if getattr(config, name):
            yield name
    if config.telemetry.otlp_endpoint:
        yield "telemetry.otlp_endpoint"

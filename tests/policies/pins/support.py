"""Definitions, and a book over them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mantlet.core.definition import Definition, DefinitionKey, Held, Pin
from mantlet.policies.pins.book import Book
from mantlet.policies.pins.config import Mode
from mantlet.policies.pins.definitions import definition_of
from mantlet.policies.pins.lock import LockFile

MODERN = "2026-07-28"
OLD = "2025-03-26"
TIME: dict[str, Any] = {
    "name": "get_time",
    "title": "Time",
    "description": "Tell the time.",
    "inputSchema": {"type": "object", "properties": {"zone": {"type": "string"}}},
}


def tool(server: str = "one", **said: Any) -> Definition:
    made = definition_of(server, "tools", {**TIME, **said})
    assert made is not None
    return made


class Store:
    """Decisions in memory; two books may share them."""

    def __init__(self) -> None:
        self.pins: dict[DefinitionKey, Pin] = {}
        self.held: dict[DefinitionKey, Held] = {}
        self.written = 0
        self._seen: int | None = None

    def is_changed(self) -> bool:
        return True  # a book compares what it reads with what it has

    def load(self) -> tuple[dict[DefinitionKey, Pin], dict[DefinitionKey, Held]]:
        return dict(self.pins), dict(self.held)

    def pin(self, pins: Iterable[Pin], *, is_decided: bool) -> None:
        for pin in pins:
            if is_decided:
                self.pins[pin.definition.key] = pin
                self.held.pop(pin.definition.key, None)
            else:
                self.pins.setdefault(pin.definition.key, pin)

    def hold(self, held: Held) -> None:
        self.held[held.definition.key] = held

    def release(self, key: DefinitionKey) -> None:
        self.held.pop(key, None)


class Told(list[tuple[str, str, Mapping[str, str]]]):
    """What a book told."""

    def __call__(self, event: str, about: str, notes: Mapping[str, str]) -> None:
        self.append((event, about, notes))

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(event, about) for event, about, _ in self]


def book(
    mode: Mode = "first_use", store: Store | None = None, lock: Path | None = None, told: Told | None = None
) -> Book:
    file = None if lock is None else LockFile(lock)
    tell = Told() if told is None else told
    return Book(mode, store or Store(), file, ["one", "two"], wall=lambda: 1000.0, tell=tell)

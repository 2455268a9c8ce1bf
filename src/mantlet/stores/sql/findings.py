"""What a process found out about definitions: said at once to its own table, and a moment later to the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from mantlet.core.definition import Definition, DefinitionKey, Held, Pin
from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.sql.database import Transaction

Pins = dict[DefinitionKey, Pin]
HeldOnes = dict[DefinitionKey, Held]

_PIN: Final = (
    "INSERT INTO pins (server, kind, name, hash, definition, at_s, by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
    " ON CONFLICT (server, kind, name) DO "
)
_DECIDED: Final = (
    "UPDATE SET hash = excluded.hash, definition = excluded.definition, at_s = excluded.at_s, by = excluded.by"
)
_HOLD: Final = (
    "INSERT INTO quarantine (server, kind, name, hash, definition, why, at_s, is_rejected)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
    " ON CONFLICT (server, kind, name) DO UPDATE SET hash = excluded.hash, definition = excluded.definition,"
    " why = excluded.why, at_s = excluded.at_s, is_rejected = excluded.is_rejected"
)
_RELEASE: Final = "DELETE FROM quarantine WHERE server = ?1 AND kind = ?2 AND name = ?3"


class Finding(Protocol):
    """One of them. `apply` does to a table in memory what `write` does to the database."""

    def apply(self, pins: Pins, held: HeldOnes, /) -> None:
        """Do it here."""
        ...

    async def write(self, transaction: Transaction, /) -> None:
        """Do it there."""
        ...


@dataclass(frozen=True, slots=True)
class Pinned:
    """Pins: of first use, which leave an older one as it is, or decided, which replace it and end the quarantine."""

    pins: Sequence[Pin]
    is_decided: bool

    def apply(self, pins: Pins, held: HeldOnes, /) -> None:
        """See `Finding`."""
        for pin in self.pins:
            key = pin.definition.key
            if self.is_decided:
                pins[key] = pin
                held.pop(key, None)
            else:
                pins.setdefault(key, pin)

    async def write(self, transaction: Transaction, /) -> None:
        """See `Finding`."""
        rows = [(*_texts(pin.definition), pin.at_s, pin.by) for pin in self.pins]
        await transaction.many(_PIN + (_DECIDED if self.is_decided else "NOTHING"), rows)
        if self.is_decided:
            await transaction.many(_RELEASE, [row[:3] for row in rows])


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One is in quarantine, in the place of another of the same key."""

    held: Held

    def apply(self, pins: Pins, held: HeldOnes, /) -> None:
        """See `Finding`."""
        held[self.held.definition.key] = self.held

    async def write(self, transaction: Transaction, /) -> None:
        """See `Finding`."""
        one = self.held
        await transaction.run(_HOLD, *_texts(one.definition), one.why, one.at_s, int(one.is_rejected))


@dataclass(frozen=True, slots=True)
class Released:
    """One is no longer in quarantine."""

    key: DefinitionKey

    def apply(self, pins: Pins, held: HeldOnes, /) -> None:
        """See `Finding`."""
        held.pop(self.key, None)

    async def write(self, transaction: Transaction, /) -> None:
        """See `Finding`."""
        await transaction.run(_RELEASE, *self.key)


def refuse_odd(definition: Definition) -> None:
    """Raise for text that not every database takes: one such must not keep all others from being written."""
    for text in (*definition.key, definition.text):
        if "\x00" in text or not _is_unicode(text):
            raise StoreUnavailable(why="pins: a name or definition holds what is no text")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeError:
        return False
    return True


def _texts(definition: Definition) -> tuple[str, str, str, str, str]:
    return (*definition.key, definition.hash, definition.text)

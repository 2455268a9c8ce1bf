"""What the tables need of a database, and nothing else: `sqlite.py` and `postgres.py` give it.

Statements are written once for both. Places for values are `?1`, `?2` …; a statement is a constant, never built from
values. Every failure is `StoreUnavailable`, whose `why` is for the log and never for a caller.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

Value = str | int | float | None
Row = tuple[Any, ...]


class Transaction(Protocol):
    """All of it is done, or nothing. It sees what other transactions have done before it."""

    @property
    def for_update(self) -> str:
        """What a SELECT ends with whose rows nobody else may change meanwhile."""
        ...

    async def rows(self, statement: str, /, *values: Value) -> list[Row]:
        """What it finds."""
        ...

    async def run(self, statement: str, /, *values: Value) -> int:
        """Do it; gives how many rows it changed."""
        ...

    async def many(self, statement: str, rows: Sequence[Sequence[Value]], /) -> None:
        """Do it for each of `rows`."""
        ...

    async def alone(self, what: str, /) -> None:
        """Wait until no other transaction, wherever, is alone with `what`, and be it until the end of this one."""
        ...


class Database(Protocol):
    """One for a process and all its tables. A caller may be cancelled at any time: what was begun is then undone, or
    done whole."""

    @property
    def is_shared(self) -> bool:
        """Whether other nodes see what this one writes."""
        ...

    async def rows(self, statement: str, /, *values: Value) -> list[Row]:
        """What it finds; waits for no writer."""
        ...

    async def has_table(self, name: str, /) -> bool:
        """Whether there is one."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Changes that belong together."""
        ...

    async def close(self) -> None:
        """Finish what is under way, and let go."""
        ...

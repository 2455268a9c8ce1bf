"""Which definitions may be shown and used now: what was seen of the servers, judged by the book.

One table for all callers: what one caller's list showed to be changed is withheld from all.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mantlet.core.definition import Definition, DefinitionKey, DefinitionKind
from mantlet.core.refusal import BadUpstream
from mantlet.policies.pins.book import Book
from mantlet.policies.pins.definitions import definition_of, instructions_of

MAX_SHOWN: Final = 10_000
"""Definitions of one kind and server. With more, the rest is withheld."""
MAX_CHARACTERS: Final = 262_144
"""Of one definition. A longer one is withheld: nobody could review it."""
MAX_WITHHELD: Final = 10_000
"""Reasons remembered of what is withheld without being in quarantine; the oldest are forgotten."""

Usable = Callable[[Definition], str]
"""Why a tool cannot be used whatever was approved (its schema); empty when it can."""


class Shown:
    """`tools` is looked into on every call, and so an open table; all else goes through the methods."""

    def __init__(self, book: Book, why_unusable: Usable) -> None:
        self.book = book
        self._why_unusable = why_unusable
        self.tools: dict[str, dict[str, Definition]] = {}
        self._others: dict[tuple[str, str], dict[str, Definition]] = {}
        self._withheld: OrderedDict[DefinitionKey, str] = OrderedDict()
        self.version = 0
        """Another after everything that may change what is shown."""

    def of(self, server: str, kind: DefinitionKind, name: str) -> Definition | None:
        """The definition that may be used, if it was seen and may."""
        return self._table(server, kind).get(name)

    def why_withheld(self, key: DefinitionKey) -> str:
        """Why something that its server has may not be used; empty for what nobody has seen."""
        held = self.book.table.held.get(key)
        return held.why if held is not None else self._withheld.get(key, "")

    def is_decided(self, key: DefinitionKey) -> bool:
        """Whether asking the server again would tell nothing new."""
        held = self.book.table.held.get(key)
        if held is not None and held.is_rejected:
            return self.of(*key) is not None  # it may have gone back to what was approved
        return held is not None or key in self._withheld or self.of(*key) is not None

    def take(self, server: str, kind: DefinitionKind, items: Sequence[Mapping[str, Any]], revision: str) -> list[bool]:
        """Take in one list (or a page of it) and say which of its items may be shown."""
        definitions = [_read(server, kind, item) for item in items]
        # The first of two with one name is the one that is judged; the second is nobody's.
        first: dict[str, int] = {}
        for number, definition in enumerate(definitions):
            if definition is not None:
                first.setdefault(definition.key.name, number)
        fit = [number for number in first.values() if self._is_fit(definitions[number])]
        verdicts = self.book.judge([one for number in fit if (one := definitions[number]) is not None], revision)
        table = self._table(server, kind)
        shown = [False] * len(items)
        for number, verdict in zip(fit, verdicts, strict=True):
            key = verdict.definition.key
            if verdict.action != "hold" and self._is_usable(verdict.definition):
                if key.name in table or len(table) < MAX_SHOWN:
                    shown[number] = True
                    if table.get(key.name) != verdict.definition:
                        table[key.name] = verdict.definition
                        self._withheld.pop(key, None)
            elif table.pop(key.name, None) is not None or verdict.is_news:
                self.version += 1
        return shown

    def may_instruct(self, server: str, text: str, revision: str) -> bool:
        """Whether a server's instructions may be shown."""
        definition = instructions_of(server, text)
        if len(definition.text) > MAX_CHARACTERS:
            return False
        return self.book.judge([definition], revision)[0].action != "hold"

    def forget(self, server: str | None = None) -> None:
        """What a server has is not known any more; of all servers, if none is named."""
        self.version += 1
        if server is None:
            self.tools.clear()
            self._others.clear()
            self._withheld.clear()
        else:
            for key in [key for key in self._withheld if key.server == server]:
                del self._withheld[key]
            self.tools.pop(server, None)
            for place in [place for place in self._others if place[0] == server]:
                del self._others[place]

    def _table(self, server: str, kind: DefinitionKind) -> dict[str, Definition]:
        if kind == "tools":
            return self.tools.setdefault(server, {})
        return self._others.setdefault((server, kind), {})

    def _is_fit(self, definition: Definition | None) -> bool:
        if definition is None:
            return False
        if len(definition.text) > MAX_CHARACTERS:
            self._withhold(definition.key, f"its definition is longer than {MAX_CHARACTERS} characters")
            return False
        return True

    def _is_usable(self, definition: Definition) -> bool:
        why = self._why_unusable(definition) if definition.key.kind == "tools" else ""
        if why:
            self._withhold(definition.key, why)
        return not why

    def _withhold(self, key: DefinitionKey, why: str) -> None:
        self._table(key.server, key.kind).pop(key.name, None)
        self._withheld[key] = why
        if len(self._withheld) > MAX_WITHHELD:
            self._withheld.popitem(last=False)


def _read(server: str, kind: DefinitionKind, item: Mapping[str, Any]) -> Definition | None:
    try:
        return definition_of(server, kind, item)
    except (ValueError, RecursionError) as error:
        raise BadUpstream("The server's list cannot be read and is withheld.") from error

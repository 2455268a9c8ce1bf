"""All filters on one page: what each is called, where it looks, and in what form."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mantlet.policies.filters import (
    credentials,
    header_lines,
    hidden,
    injection,
    null_bytes,
    personal,
    script,
    shell,
    sql,
)
from mantlet.policies.filters.finding import Find
from mantlet.policies.filters.signs import Signs


@dataclass(frozen=True, slots=True)
class TextFilter:
    """One that reads texts, whatever they are called."""

    name: str
    may: Callable[[Signs], bool]
    """Whether a text with such signs can hold any; often wrong, on the safe side."""
    find: Find
    is_decoded: bool
    """It reads what the text says once encodings are taken off."""


TEXT_FILTERS: Final = (
    TextFilter("script", script.may, script.find, is_decoded=True),
    TextFilter("sql", sql.may_by_words, sql.find_words, is_decoded=True),
    TextFilter("sql", sql.may_by_quotes, sql.find_breakouts, is_decoded=True),
    TextFilter("shell", shell.may, shell.find, is_decoded=True),
    TextFilter("headers", header_lines.may, header_lines.find, is_decoded=False),
    TextFilter("null_bytes", null_bytes.may, null_bytes.find, is_decoded=False),
    TextFilter("secrets", credentials.may, credentials.find, is_decoded=False),
    TextFilter("personal_data", personal.may, personal.find, is_decoded=False),
    TextFilter("prompt_injection", injection.may, injection.find, is_decoded=False),
    TextFilter("hidden", hidden.may, hidden.find, is_decoded=False),
)

WORDS: Final = sql.WORDS | injection.WORDS
"""What the filters ask of the words of a text."""

PROTOTYPE: Final = "prototype"
TRAVERSAL: Final = "traversal"
SSRF: Final = "ssrf"
NAMES: Final = (*dict.fromkeys(each.name for each in TEXT_FILTERS), PROTOTYPE, TRAVERSAL, SSRF)

ONLY_REQUESTS: Final = frozenset({"sql", "shell", "headers", "null_bytes", TRAVERSAL, SSRF})
"""What harms the one that is given it as an argument: in a result a path is a path, and a query a query."""

"""`validation.filters` and `validation.filters_for`: what each category does, and where it does something else."""

from typing import Annotated, Literal

import msgspec

Mode = Literal["off", "log", "block", "sanitize", "redact"]
"""`redact` and `sanitize` are one thing: what was found is taken out. Credentials are redacted, markup is sanitised."""


class Modes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What each filter does with what it finds. What is not named is off, but for `prototype`."""

    script: Mode | None = None
    """Script and active HTML."""
    prototype: Mode | None = None
    """Members that reach an object's prototype. Not named: `block` in what clients send."""
    traversal: Mode | None = None
    """Arguments that are paths and lead elsewhere."""
    sql: Mode | None = None
    """SQL that breaks out of a value."""
    shell: Mode | None = None
    """Metacharacters that start another command."""
    headers: Mode | None = None
    """Line ends that start a header."""
    null_bytes: Mode | None = None
    """NUL, plain or encoded."""
    ssrf: Mode | None = None
    """Arguments that are addresses of inner networks or metadata services."""
    secrets: Mode | None = None
    """Credentials."""
    personal_data: Mode | None = None
    """E-mail addresses, telephone numbers, cards, accounts, numbers of people."""
    prompt_injection: Mode | None = None
    """Orders to a model."""
    hidden: Mode | None = None
    """Characters that no reader sees."""


class FilterRule(Modes, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Other modes for some upstream, tool or argument. Later entries win; `*` and `?` stand for other characters."""

    server: str = "*"
    tool: str = "*"
    """A tool's or prompt's name."""
    argument: str = "*"
    """An argument's name. An entry that names one says nothing about results."""
    ignore: list[str] = []
    """Rules that are not acted on here (`traversal.absolute`), as refusals and records name them."""


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much the filters look at. What is more is not passed on unseen, but refused (VAL-07)."""

    max_characters: Annotated[int, msgspec.Meta(ge=1_024, le=16_777_216)] = 262_144
    """Text in one message, names of members included. Looking into a million takes up to a quarter of a second."""

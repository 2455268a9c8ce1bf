"""What a server says one of its tools, prompts or templates is: text that a model reads and acts on (TOOL-01)."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

DefinitionKind = Literal["tools", "prompts", "resourceTemplates", "instructions"]
"""The members of list results that hold definitions, and a server's own `instructions`."""


class DefinitionKey(NamedTuple):
    """Whose definition it is, and of what."""

    server: str
    kind: DefinitionKind
    name: str


@dataclass(frozen=True, slots=True)
class Definition:
    """One definition, whole: `text` is its canonical JSON, `hash` that text's (`sha256:` and 64 hex digits)."""

    key: DefinitionKey
    text: str
    hash: str


@dataclass(frozen=True, slots=True)
class Pin:
    """A definition that was approved, or taken on first use: by whom and when (Unix time)."""

    definition: Definition
    at_s: float
    by: str


@dataclass(frozen=True, slots=True)
class Held:
    """A definition in quarantine: why, since when, and whether somebody has rejected it."""

    definition: Definition
    why: str
    at_s: float
    is_rejected: bool = False

"""What makes a definition suspect before anybody approved it (TOOL-02, TOOL-03). Pure.

Marks, not proof: a finding keeps a definition from being pinned by itself, and stands beside the diff that a person
approves.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final

from mantlet.core.definition import Definition, DefinitionKey
from mantlet.policies.filters import hidden, injection
from mantlet.policies.pins.definitions import NAMED_BY, texts_of
from mantlet.policies.pins.known import Known

MAX_FINDINGS: Final = 5
"""Said of one definition; more would say no more."""
_EXPOSABLE: Final = re.compile(r"[A-Za-z0-9_./-]{1,128}")
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]*[A-Za-z0-9]")
_TELLING: Final = re.compile(r"[A-Za-z0-9]+[_-][A-Za-z0-9_-]+|[a-z]+[A-Z][A-Za-z]+")
"""A name that no sentence holds by chance: of two words at least."""


def findings(definition: Definition, known: Known, listed: Collection[str]) -> list[str]:
    """What speaks against `definition`, in words that quote nothing hidden. Its server has the names `listed` too."""
    found = [*_of_name(definition.key, known), *_of_texts(definition, known, listed)]
    return list(dict.fromkeys(found))[:MAX_FINDINGS]


def _of_name(key: DefinitionKey, known: Known) -> Iterable[str]:
    if NAMED_BY.get(key.kind) != "name":
        return
    if not _EXPOSABLE.fullmatch(key.name):
        yield "its name has characters that are not exposed"
    if other := known.look_alike(key):
        yield f"its name looks like {other.name[:64]} of {other.server}"


def _of_texts(definition: Definition, known: Known, listed: Collection[str]) -> Iterable[str]:
    mine = definition.key.server
    prefixes = tuple(prefix for server, prefix in known.prefixes.items() if server != mine)
    seen: set[str] = set()
    for place, text in texts_of(definition):
        if text in seen:  # half of a schema's words are "type" and "string"
            continue
        seen.add(text)
        where = f" in {place[:64]}" if place.isascii() and place.isprintable() and place else ""
        for finding in hidden.find(text):
            yield f"hidden characters ({finding.rule}){where}"
        for finding in injection.find(text):
            yield f"orders to a model ({finding.rule}){where}"
        for word in _WORD.findall(text):
            if word.startswith(prefixes):
                yield f"speaks of another server's {word[:64]}{where}"
            elif word not in listed and _TELLING.fullmatch(word) and (other := known.others_with(word, mine)):
                yield f"speaks of {word[:64]} of {other}{where}"

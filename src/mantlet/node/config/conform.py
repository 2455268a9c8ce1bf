"""A tree against the model: every fault at once, then the values."""

from typing import Any, Final

import msgspec

from mantlet.core.secret import Secret
from mantlet.node.config import shape
from mantlet.node.config.masking import is_secret_key, mask_url
from mantlet.node.config.problem import Origin, Path, Problem, dotted, nearest, shown
from mantlet.node.config.shape import Annotation
from mantlet.node.config.tree import Node

MAX_PROBLEMS: Final = 100
"""More than a person reads; a wrong file given by mistake has thousands."""


def decode_special(kind: type, value: object) -> object:
    """msgspec's hook for the types of ours that it does not know."""
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    for section in getattr(kind, "variants", ()):
        tag = shape.tag_of(section)
        if tag and isinstance(value, dict) and value.get(tag[0]) == tag[1]:
            return msgspec.convert(value, section, dec_hook=decode_special)
    raise ValueError("Expected another kind of value")


def values_of(node: Node, annotation: Annotation) -> Any:
    """The typed values of a tree; raises `msgspec.ValidationError`."""
    return msgspec.convert(node.plain, annotation, dec_hook=decode_special)


class Walk:
    """One walk of a tree beside its types; `problems` is the harvest.

    With `keys_only` values are not looked at: an overlay of another environment may name variables that are not set
    here, but a misspelt key in it is as wrong here as there.
    """

    def __init__(self, *, keys_only: bool = False) -> None:
        self.problems: list[Problem] = []
        self._keys_only = keys_only

    def check(self, node: Node, annotation: Annotation, path: Path = ()) -> bool:
        """Whether `node` is an `annotation`; if not, what is wrong has been noted."""
        before = len(self.problems)
        if before < MAX_PROBLEMS and not shape.is_any(annotation):
            self._by_shape(node, annotation, path)
        return len(self.problems) == before

    def _by_shape(self, node: Node, annotation: Annotation, path: Path) -> None:
        sections = shape.structs_in(annotation)
        item = shape.item_of(annotation)
        value = shape.value_of(annotation)
        if isinstance(node.value, dict) and sections:
            self._section(node, sections, path)
        elif isinstance(node.value, dict) and value is not None:
            for name, member in node.value.items():
                self.check(member, value, (*path, name))
        elif isinstance(node.value, list) and item is not None:
            for index, member in enumerate(node.value):
                self.check(member, item, (*path, index))
        elif not self._keys_only:
            self._leaf(node, annotation, path)

    def _section(self, node: Node, sections: list[type[msgspec.Struct]], path: Path) -> None:
        section = self._choose(node, sections, path)
        if section is None:
            return
        before = len(self.problems)
        known = shape.members(section)
        words = [*known, *shape.file_twins(section)]
        for name, member in node.mapping.items():
            if name in known:
                self.check(member, known[name].annotation, (*path, name))
            elif not (self._keys_only and name in words):  # else a twin, which `places` has replaced by the secret
                near = nearest(name, words)
                self._note("unknown key", (*path, name), node.keys.get(name, node.origin), nearest=near,
                           allowed="" if near else ", ".join(words))  # fmt: skip
        if self._keys_only:
            return
        missing = [name for name, member in known.items() if member.is_required and name not in node.mapping]
        for name in missing:
            self._note("is missing", (*path, name), node.origin, allowed=shape.allowed(known[name].annotation))
        if len(self.problems) == before:
            self._whole(node, section, path)

    def _choose(self, node: Node, sections: list[type[msgspec.Struct]], path: Path) -> type[msgspec.Struct] | None:
        if len(sections) == 1:
            return sections[0]
        tags = {tag[1]: section for section in sections if (tag := shape.tag_of(section))}
        key = next(tag[0] for section in sections if (tag := shape.tag_of(section)))
        given = node.mapping.get(key)
        if given is None:
            self._note("cannot be told", (*path, key), node.origin, allowed=", ".join(tags))
            return None
        if given.value not in tags:
            found = shown(given.plain)
            self._note("unknown", (*path, key), given.origin, found=found, allowed=", ".join(tags),
                       nearest=nearest(str(given.value), tags))  # fmt: skip
            return None
        return tags[str(given.value)]

    def _whole(self, node: Node, section: type[msgspec.Struct], path: Path) -> None:
        """A section's own rules (`__post_init__`), once all its members are sound."""
        try:
            values_of(node, section)
        except msgspec.ValidationError as error:
            self._note(str(error).partition(" - at `")[0], path, node.origin)

    def _leaf(self, node: Node, annotation: Annotation, path: Path) -> None:
        try:
            values_of(node, annotation)
        except msgspec.ValidationError:
            secret = shape.is_secret(annotation) or is_secret_key(path)
            words = shape.allowed(annotation)
            found = "a value that is not shown" if secret and node.value is not None else shown(node.plain)
            near = nearest(node.value, words.split(", ")) if isinstance(node.value, str) and not secret else ""
            self._note("wrong value", path, node.origin, found=found, allowed=words, nearest=near)

    def _note(self, message: str, path: Path, origin: Origin, *, found: str = "", allowed: str = "",
              nearest: str = "") -> None:  # fmt: skip
        # A section's own words about a URL may quote it, and with it a password.
        problem = Problem(mask_url(message), dotted(path), origin, mask_url(found), allowed, nearest)
        self.problems.append(problem)

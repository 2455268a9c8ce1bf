"""What the model allows, read off its types: the one place that knows how a `Struct` is written in a file.

msgspec checks strictly but stops at the first fault and knows no lines. So a tree is walked beside the types first,
which finds every fault at once and where it stands; msgspec then makes the values.
"""

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

import msgspec

from mantlet.core.secret import Secret

Annotation: TypeAlias = Any
"""A type as written in a section: `int`, `list[str] | None`, a Struct."""


def _origin(annotation: Annotation) -> Any:
    return get_origin(annotation)  # typed Any: its declared type does not know of Union and Annotated


@dataclass(frozen=True, slots=True)
class Member:
    """One key of a section."""

    name: str
    field: str
    """The attribute's name, where the key's differs (`global` is a word of Python's own)."""
    annotation: Annotation
    is_required: bool
    default: Any


@cache
def members(struct: type[msgspec.Struct]) -> Mapping[str, Member]:
    """The keys of a section by name, as written in a file."""
    hints = typing.get_type_hints(struct, include_extras=True)
    found: dict[str, Member] = {}
    for field in msgspec.structs.fields(struct):
        default = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        found[field.encode_name] = Member(
            field.encode_name, field.name, hints[field.name], field.required, None if field.required else default
        )
    return found


def alternatives(annotation: Annotation) -> tuple[Annotation, ...]:
    """The types a value may have: a union's members, `Annotated` kept around those that bear limits."""
    if _origin(annotation) in (Union, types.UnionType):
        return tuple(one for part in get_args(annotation) for one in alternatives(part))
    # A foreign type that stands for several sections, told apart by one of their keys (see `model.McpServer`).
    variants = getattr(annotation, "variants", ()) if isinstance(annotation, type) else ()
    return tuple(variants) or (annotation,)


def bare(annotation: Annotation) -> Annotation:
    """A type without its `Annotated` limits."""
    return bare(get_args(annotation)[0]) if _origin(annotation) is Annotated else annotation


def structs_in(annotation: Annotation) -> list[type[msgspec.Struct]]:
    """The sections among a type's alternatives."""
    return [one for one in map(bare, alternatives(annotation)) if is_struct(one)]


def is_struct(annotation: Annotation) -> bool:
    """Whether it is a section."""
    return isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)


def item_of(annotation: Annotation) -> Annotation | None:
    """The type of a list's items, or None when no alternative is a list."""
    for one in map(bare, alternatives(annotation)):
        if (_origin(one) or one) in (list, tuple, set, frozenset, Sequence):
            arguments = get_args(one)
            return arguments[0] if arguments else Any
    return None


def value_of(annotation: Annotation) -> Annotation | None:
    """The type of a free mapping's values, or None when no alternative is one."""
    for one in map(bare, alternatives(annotation)):
        if (_origin(one) or one) in (dict, Mapping):
            arguments = get_args(one)
            return arguments[1] if arguments else Any
    return None


def is_any(annotation: Annotation) -> bool:
    """Whether anything is allowed."""
    return any(one is Any or one is object for one in map(bare, alternatives(annotation)))


def is_secret(annotation: Annotation) -> bool:
    """Whether the value is a secret: it may then be given as `<key>_file`."""
    return any(one is Secret for one in map(bare, alternatives(annotation)))


def file_twins(struct: type[msgspec.Struct]) -> list[str]:
    """The `<key>_file` names that are understood although the section does not declare them."""
    known = members(struct)
    return [f"{name}_file" for name, one in known.items() if is_secret(one.annotation) and f"{name}_file" not in known]


def takes_text(annotation: Annotation) -> bool:
    """Whether text stands as it is, also when it looks like a number."""
    kinds = [bare(one) for one in alternatives(annotation)]
    if any(_origin(kind) is Literal and isinstance(get_args(kind)[0], str) for kind in kinds):
        return True
    return str in kinds or Secret in kinds


def tag_of(struct: type[msgspec.Struct]) -> tuple[str, str] | None:
    """The key and the word that tell a section from its siblings (`transport`, `stdio`), if it has any."""
    for name, member in members(struct).items():
        kind = bare(member.annotation)
        if _origin(kind) is Literal and get_args(kind) == (member.default,):
            return name, str(member.default)
    return None


_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    type(None): "null",
    Secret: "text (a secret; better in a file, as `…_file`)",
}


def allowed(annotation: Annotation) -> str:
    """What may stand there, for people."""
    words: list[str] = []
    for one in alternatives(annotation):
        kind = bare(one)
        if _origin(kind) is Literal:
            words += [str(value) for value in get_args(kind)]
        elif is_struct(kind):
            tag = tag_of(kind)
            words.append(f"a mapping with {tag[0]}: {tag[1]}" if tag else "a mapping")
        elif (item := item_of(kind)) is not None:
            words.append("a list" if is_any(item) else f"a list of: {allowed(item)}")
        elif value_of(kind) is not None:
            words.append("a mapping")
        else:
            words.append(_limited(_WORDS.get(kind, "anything"), one))
    # The most telling first; "null" is never what someone looks for.
    return ", ".join(sorted(dict.fromkeys(words), key=lambda word: word == "null"))


_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "at least", "max_length": "at most"}


def _limited(word: str, annotation: Annotation) -> str:
    if _origin(annotation) is not Annotated:
        return word
    for meta in get_args(annotation)[1:]:
        if isinstance(meta, msgspec.Meta):
            bounds = [f"{sign} {value}" for key, sign in _BOUNDS.items() if (value := getattr(meta, key)) is not None]
            word = " ".join([word, " and ".join(bounds)]).strip()
    return word

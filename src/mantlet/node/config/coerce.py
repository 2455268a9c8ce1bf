"""Text from variables and the command line, given the type of the place where it stands."""

from dataclasses import replace

from mantlet.node.config import shape
from mantlet.node.config.problem import ConfigErrors
from mantlet.node.config.shape import Annotation
from mantlet.node.config.text import read_yaml
from mantlet.node.config.tree import Node


def coerced(node: Node, annotation: Annotation) -> Node:
    """`node` with all its untyped texts typed by `annotation`. What does not fit stays text, for `conform` to tell."""
    if node.is_text and isinstance(node.value, str):
        return _typed(node, node.value, annotation)
    if isinstance(node.value, dict):
        members = {name: coerced(member, _type_of(node, name, annotation)) for name, member in node.value.items()}
        return replace(node, value=members)
    if isinstance(node.value, list) and (item := shape.item_of(annotation)) is not None:
        return replace(node, value=[coerced(member, item) for member in node.value])
    return node


def _type_of(node: Node, name: str, annotation: Annotation) -> Annotation:
    for section in shape.structs_in(annotation):
        tag = shape.tag_of(section)
        if tag is not None and tag[0] in node.mapping and node.mapping[tag[0]].value != tag[1]:
            continue
        if name in (known := shape.members(section)):
            return known[name].annotation
    value = shape.value_of(annotation)
    return str if value is None else value


def _typed(node: Node, text: str, annotation: Annotation) -> Node:
    typed = replace(node, is_text=False)
    if shape.takes_text(annotation):
        return typed
    item = shape.item_of(annotation)
    is_structured = item is not None or shape.value_of(annotation) is not None or shape.structs_in(annotation)
    if is_structured and not text.lstrip().startswith(("[", "{")):
        if item is None:
            return typed
        words = [word.strip() for word in text.split(",") if word.strip()]
        return replace(typed, value=[coerced(Node(word, node.origin, is_text=True), item) for word in words])
    try:
        read = read_yaml(f"value: {text}", node.origin.where).mapping["value"]
    except ConfigErrors:
        return typed
    return _placed(read, node)


def _placed(read: Node, node: Node) -> Node:
    """The tree that was read out of a text, with the text's own origin everywhere."""
    match read.value:
        case dict():
            members = {name: _placed(member, node) for name, member in read.value.items()}
            return Node(members, node.origin, dict.fromkeys(members, node.origin))
        case list():
            return Node([_placed(item, node) for item in read.value], node.origin)
        case _:
            return Node(read.value, node.origin)

"""`$ref` inside one document (RFC 6901 pointers). A reference to anywhere else is refused: nothing is fetched. Pure."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

MAX_HOPS: Final = 32
MAX_DEFINITIONS: Final = 500
"""Schemas that one tool may draw in."""

_SCHEMAS: Final = "#/components/schemas/"


class BadDocument(ValueError):
    """What is wrong with the document. `where` are the keys that lead there, as far as they are known."""

    where: tuple[str, ...] = ()


def resolved(document: Mapping[str, Any], node: Any) -> Any:
    """`node`, or what its `$ref` leads to."""
    for _ in range(MAX_HOPS):
        if type(node) is not dict or type(ref := node.get("$ref")) is not str:
            return node
        node = _at(document, ref)
    raise BadDocument(f"$ref {str(ref)[:100]!r} goes round in a circle")


def self_contained(document: Mapping[str, Any], schema: Any) -> Any:
    """`schema` with every schema it refers to under `$defs`: a client sees the tool's schema alone."""
    definitions: dict[str, Any] = {}
    pending: list[str] = []

    def rewritten(node: Any) -> Any:
        if type(node) is list:
            return [rewritten(item) for item in node]
        if type(node) is not dict:
            return node
        made = {key: rewritten(value) for key, value in node.items() if key not in _NOT_JSON_SCHEMA}
        ref = node.get("$ref")
        if type(ref) is str:
            name = ref.removeprefix(_SCHEMAS)
            if name == ref or "/" in name:
                # Somewhere else in the document: rare, so it is put in its place, and a circle ends at MAX_HOPS.
                return rewritten(resolved(document, node))
            if name not in definitions:
                definitions[name] = None
                pending.append(ref)
            made["$ref"] = f"#/$defs/{name}"
        if made.pop("nullable", False) is True and type(made.get("type")) is str:
            made["type"] = [made["type"], "null"]  # OpenAPI 3.0's word for it
        return made

    root = rewritten(schema)
    while pending:
        if len(definitions) > MAX_DEFINITIONS:
            raise BadDocument(f"an operation draws in more than {MAX_DEFINITIONS} schemas")
        ref = pending.pop()
        definitions[ref.removeprefix(_SCHEMAS)] = rewritten(_at(document, ref))
    if definitions and type(root) is dict:
        root["$defs"] = definitions
    return root


_NOT_JSON_SCHEMA: Final = frozenset({"discriminator", "xml", "externalDocs", "example"})


def _at(document: Mapping[str, Any], ref: str) -> Any:
    if not ref.startswith("#/"):
        raise BadDocument(f"$ref {ref[:100]!r} leads out of the document; nothing is fetched")
    node: Any = document
    for part in ref[2:].split("/"):
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        if type(node) is not dict or key not in node:
            raise BadDocument(f"$ref {ref[:100]!r} leads nowhere")
        node = node[key]
    return node

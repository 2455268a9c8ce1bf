"""Files into trees, with lines: YAML (JSON too, being a part of it) and TOML.

Only `true` and `false` are booleans, as YAML 1.2 says: under 1.1, which PyYAML speaks, `mode: off` would come
out as False, `country: no` too, and `at: 12:30` as 750. Duplicate keys are refused: the last would silently win.
"""

import re
import tomllib
from pathlib import Path as FilePath
from typing import Any, Final

import yaml

from mantlet.node.config.problem import ConfigErrors, Origin, OriginKind, Path, Problem, dotted
from mantlet.node.config.tree import EMPTY, Node

MAX_FILE_BYTES: Final = 4 * 1024 * 1024
MAX_NODES: Final = 200_000
"""Aliases of aliases can unfold a small file into a very large tree."""
MERGE: Final = "tag:yaml.org,2002:merge"
COLLECTIONS: Final = frozenset({"tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"})


class _Loader(yaml.SafeLoader):
    """The safe loader with YAML 1.2's booleans, and no dates or base-60 numbers."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own shape
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in ("null", "float", "merge")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), [*"tTfF"]
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F]+)$"), [*"-+0123456789"]
)


def read_file(file: str) -> Node:
    """The tree of one configuration file; raises `ConfigErrors`."""
    path = FilePath(file)
    try:
        size_bytes = path.stat().st_size
        if size_bytes > MAX_FILE_BYTES:
            raise _error(file, 0, f"is larger than {MAX_FILE_BYTES} bytes")
        raw = path.read_bytes()
    except OSError as error:
        hint = "; `mantlet init` writes one" if isinstance(error, FileNotFoundError) else ""
        raise _error(file, 0, f"cannot be read: {error.strerror or error}{hint}") from error
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise _error(file, raw.count(b"\n", 0, error.start) + 1, "is not UTF-8") from error
    return read_toml(text, file) if path.suffix == ".toml" else read_yaml(text, file)


def read_yaml(text: str, file: str) -> Node:
    """The tree of a YAML or JSON text; an empty one is an empty mapping."""
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            tree = EMPTY if root is None else _Reader(loader, file).read(root, ())
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        hint = _quote_hint(text, line)
        raise _error(file, line, f"is not YAML: {error.problem or error.context}{hint}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise _error(file, 0, f"is not YAML: {error}") from error
    return _must_be_mapping(tree, file)


def _quote_hint(text: str, line: int) -> str:
    lines = text.splitlines()
    is_bare = 0 < line <= len(lines) and re.search(r"""(?<!["'\w/:@.-])\$\{""", lines[line - 1])
    return '; between { } a variable must be quoted: "${VAR}"' if is_bare else ""


class _Reader:
    """One reading of one file: collects nothing but the count of nodes, and refuses at the first fault."""

    def __init__(self, loader: _Loader, file: str, kind: OriginKind = "file") -> None:
        self._loader, self._file, self._kind, self._count = loader, file, kind, 0

    def read(self, node: yaml.Node, path: Path) -> Node:
        self._count += 1
        line = node.start_mark.line + 1
        if self._count > MAX_NODES:
            raise _error(self._file, line, f"unfolds into more than {MAX_NODES} values")
        origin = Origin(self._kind, self._file, line)
        if not isinstance(node, yaml.ScalarNode) and node.tag not in COLLECTIONS:
            raise _error(self._file, line, f"has a value of an unknown kind ({node.tag})", path)
        if isinstance(node, yaml.SequenceNode):
            return Node([self.read(item, (*path, index)) for index, item in enumerate(node.value)], origin)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, origin)
        value: Any = self._loader.construct_object(node)
        if not isinstance(value, str | int | float | bool | None):
            raise _error(self._file, line, f"has a value of an unknown kind ({node.tag})", path)
        return Node(value, origin)

    def _mapping(self, node: yaml.MappingNode, path: Path, origin: Origin) -> Node:
        members: dict[str, Node] = {}
        keys: dict[str, Origin] = {}
        base: list[Node] = []
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == MERGE:
                base += self._merge(value_node, path)
                continue
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                raise _error(self._file, line, "has a key that is not a word", path)
            if key in members:
                first = keys[key].line
                raise _error(self._file, line, f"stands twice; the first is on line {first}", (*path, key))
            members[key] = self.read(value_node, (*path, key))
            keys[key] = Origin(self._kind, self._file, line)
        for merged in base:
            members = {**merged.mapping, **members}
            keys = {**merged.keys, **keys}
        return Node(members, origin, keys)

    def _merge(self, node: yaml.Node, path: Path) -> list[Node]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        return [self.read(item, path) for item in nodes]


_TABLE: Final = re.compile(r"^\s*\[{1,2}\s*([^\[\]]+?)\s*\]{1,2}")
_ENTRY: Final = re.compile(r"""^\s*((?:"[^"]*"|'[^']*'|[\w-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[\w-]+))*)\s*=""")


def read_toml(text: str, file: str) -> Node:
    """The tree of a TOML text. Values inside an inline table or array carry the line of the entry they stand in."""
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        last = text.count("\n") + 1  # "at end of document"
        raise _error(file, int(line[1]) if line else last, f"is not TOML: {error}") from error
    return _toml_node(value, (), file, _toml_lines(text), 1)


def _toml_lines(text: str) -> dict[Path, int]:
    """The line of every table header and entry. `tomllib` tells no lines, so headers are read once more here; a line
    that merely looks like an entry (in a multi-line string) can only make an error's line wrong, never a value."""
    lines: dict[Path, int] = {}
    arrays: dict[Path, int] = {}
    table: Path = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _TABLE.match(line):
            table = _toml_key(header[1])
            if line.lstrip().startswith("[["):
                index = arrays[table] = arrays.get(table, -1) + 1
                lines.setdefault(table, number)
                table = (*table, index)
            lines.setdefault(table, number)
        elif entry := _ENTRY.match(line):
            lines.setdefault((*table, *_toml_key(entry[1])), number)
    return lines


def _toml_key(text: str) -> Path:
    return tuple(part.strip().strip("\"'") for part in text.split("."))


def _toml_node(value: Any, path: Path, file: str, lines: dict[Path, int], line: int) -> Node:
    line = lines.get(path, line)
    origin = Origin("file", file, line)
    match value:
        case dict():
            members = {name: _toml_node(member, (*path, name), file, lines, line) for name, member in value.items()}
            return Node(members, origin, {name: member.origin for name, member in members.items()})
        case list():
            return Node([_toml_node(item, (*path, i), file, lines, line) for i, item in enumerate(value)], origin)
        case str() | int() | float():
            return Node(value, origin)
        case _:
            raise _error(file, line, "has a date or time, which no key takes", path)


def _must_be_mapping(tree: Node, file: str) -> Node:
    if not isinstance(tree.value, dict):
        raise _error(file, tree.origin.line, "must be a mapping of sections at its top")
    return tree


def _error(file: str, line: int, message: str, path: Path = ()) -> ConfigErrors:
    return ConfigErrors([Problem(message, dotted(path), Origin("file", file, line))])

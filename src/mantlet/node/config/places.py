"""Files that a configuration names: relative to the file that names them, secrets read in, the rest looked for."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Final

import msgspec

from mantlet.node.config import shape
from mantlet.node.config.problem import DEFAULT, Origin, Path, Problem, dotted
from mantlet.node.config.secret_files import exposure, read_secret
from mantlet.node.config.shape import Annotation
from mantlet.node.config.tree import Node, is_switched_off, leaves, mapped

PATH_KEYS: Final = frozenset(
    {
        ("agent", "shared_dir"),
        ("audit", "path"),
        ("audit", "checkpoint_path"),
        ("backup", "path"),
        ("database", "folder"),
        ("logging", "file_path"),
        ("mcp", "pins", "file"),
        ("mcp", "servers", "cwd"),
        ("p2p", "security", "private_key_path"),
        ("p2p", "security", "public_key_path"),
    }
)
"""Paths whose key does not end in `_file`. (A `path` alone may as well be a URL's.) List positions are left out."""
MADE_LATER: Final = frozenset({("audit", "signing_key_file"), ("audit", "chain_key_file")})
"""`*_file`s that the node makes itself when they are not there."""
SQLITE: Final = "sqlite:///"
PRIVATE: Final = ("key_file", "secret_file", "password_file", "token_file")
"""Ends of the keys whose files hold something private."""


@dataclass(slots=True)
class Findings:
    """What came of looking at the files."""

    problems: list[Problem] = field(default_factory=list)
    exposed: list[Problem] = field(default_factory=list)
    """Secrets that are not their owner's alone: understood, but refused at start (CFG-04)."""
    files: list[str] = field(default_factory=list)
    """Every file that the configuration names and that must be there."""


def words_of(path: Path) -> tuple[str, ...]:
    """A path without its list positions."""
    return tuple(part for part in path if isinstance(part, str))


def is_file_key(path: Path) -> bool:
    """Whether the key names a file that must be there."""
    words = words_of(path)
    return bool(words) and words[-1].endswith("_file") and words not in MADE_LATER


def absolute(tree: Node, folder: FilePath) -> Node:
    """Every path made absolute: written in a file, by that file's folder; a default, by `folder` (the first file's);
    elsewhere by the working directory."""

    def change(node: Node, path: Path) -> Node:
        if not isinstance(node.value, str) or not node.value:
            return node
        if words_of(path) in PATH_KEYS or (path and str(path[-1]).endswith("_file")):
            return replace(node, value=joined(node.origin, folder, node.value))
        if path == ("database", "url") and node.value.startswith(SQLITE) and ":memory:" not in node.value:
            return replace(node, value=SQLITE + joined(node.origin, folder, node.value[len(SQLITE) :]))
        return node

    return mapped(tree, change)


def joined(origin: Origin, folder: FilePath, text: str) -> str:
    """A path as its place means it: by the folder of its file, or by `folder` for a default, else where we are."""
    if origin.kind in ("file", "overlay"):
        folder = FilePath(origin.where).absolute().parent
    elif origin.kind != "default":
        folder = FilePath.cwd()
    # normpath, not resolve: what an operator wrote stays recognisable, links stay links.
    return os.path.normpath(folder / FilePath(text).expanduser())


def defaults(given: msgspec.Struct, path: Path = ()) -> Node:
    """The defaults that a section's own type does not tell, as the lowest layer.

    Those are paths, which must be made absolute like any other, and values that only the section around knows:
    `limits.global` is a `Limit` with 1000 requests, so `global: {window: 30}` leaves the 1000 as they are.
    """
    found: dict[str, Node] = {}
    for name, member in shape.members(type(given)).items():
        here = (*path, name)
        value = getattr(given, member.field)
        if isinstance(value, msgspec.Struct):
            if (nested := defaults(value, here)).value:
                found[name] = nested
        elif member.is_required or value != member.default or _is_path(here):
            found[name] = Node(value)
    return Node(found)


def _is_path(path: Path) -> bool:
    return words_of(path) in PATH_KEYS or path == ("database", "url")


def with_secrets(node: Node, annotation: Annotation, findings: Findings, path: Path = ()) -> Node:
    """`node` with every `<key>_file` whose `<key>` is a secret read into that key."""
    if isinstance(node.value, list) and (item := shape.item_of(annotation)) is not None:
        return replace(node, value=[with_secrets(one, item, findings, (*path, i)) for i, one in enumerate(node.value)])
    if not isinstance(node.value, dict):
        return node
    members = dict(node.value)
    is_off = is_switched_off(node, ("",))
    for section in shape.structs_in(annotation):
        for name, member in shape.members(section).items():
            if shape.is_secret(member.annotation):
                _read_into(members, name, is_off, findings, path)
            elif name in members:
                members[name] = with_secrets(members[name], member.annotation, findings, (*path, name))
    return replace(node, value=members)


def _read_into(members: dict[str, Node], name: str, is_off: bool, findings: Findings, path: Path) -> None:
    twin = f"{name}_file"
    if twin not in members:
        return
    file = members.pop(twin)  # also where the section declares it: the secret must not come from two places
    if file.value is None or is_off:
        return
    here = (*path, twin)
    if name in members and members[name].value is not None:
        findings.problems.append(Problem(f"stands beside {name}: give one of them", dotted(here), file.origin))
    elif isinstance(file.value, str):
        if (text := _secret(file, here, findings)) is not None:
            members[name] = Node(text, file.origin)
    else:
        findings.problems.append(Problem("wrong value", dotted(here), file.origin, allowed="the path of a file"))


def _secret(file: Node, path: Path, findings: Findings) -> str | None:
    findings.files.append(str(file.value))
    try:
        found = read_secret(FilePath(str(file.value)))
    except OSError as error:
        _not_readable(file, path, error, findings)
        return None
    except ValueError as error:
        findings.problems.append(Problem(f"the file {file.value} {error}", dotted(path), file.origin))
        return None
    if found.exposure:
        findings.exposed.append(Problem(f"the file {file.value} {found.exposure}", dotted(path), file.origin))
    return found.text


def look_for(tree: Node, findings: Findings) -> None:
    """That files which are read later are there, and that private keys are their owner's alone."""
    for path, node in leaves(tree):
        if not is_file_key(path) or not isinstance(node.value, str) or node.origin is DEFAULT:
            continue
        if is_switched_off(tree, path):
            continue
        file = FilePath(node.value)
        findings.files.append(node.value)
        try:
            state = exposure(file)
            readable = os.access(file, os.R_OK)
        except OSError as error:
            _not_readable(node, path, error, findings)
            continue
        if not readable:
            _not_readable(node, path, PermissionError(13, "Permission denied"), findings)
        elif state and words_of(path)[-1].endswith(PRIVATE) and not _is_public(file):
            findings.exposed.append(Problem(f"the file {file} {state}", dotted(path), node.origin))


def _is_public(file: FilePath) -> bool:
    """Whether a key file holds a public key alone, which anybody may read (`auth.jwt.key_file` may name one)."""
    text = file.read_bytes()[:65_536]
    return b"-----BEGIN PUBLIC KEY-----" in text and b"PRIVATE KEY" not in text


def _not_readable(file: Node, path: Path, error: OSError, findings: Findings) -> None:
    findings.problems.append(
        Problem(f"the file {file.value} cannot be read: {error.strerror or error}", dotted(path), file.origin)
    )

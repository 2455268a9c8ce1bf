"""What a rotation left beside a key file is accepted a while longer, without a word in the configuration (CFG-04)."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path as FilePath
from typing import Final

from mantlet.keys.files import previous_of
from mantlet.keys.secrets.config import SecretsConfig
from mantlet.node.config.tree import EMPTY, Node

_FILES: Final[Mapping[str, str]] = {"secret_file": "previous_secret_file", "key_file": "previous_key_file"}
_WRITTEN: Final = frozenset({"previous_secret", "previous_secret_file", "previous_key_file", "previous_until"})


def with_previous(tree: Node, now_s: float) -> Node:
    """`tree` with the key that `auth.jwt` had before, for `secrets.overlap` seconds after it was put aside."""
    auth = tree.mapping.get("auth", EMPTY)
    jwt = auth.mapping.get("jwt", EMPTY)
    if not _WRITTEN.isdisjoint(jwt.mapping):
        return tree
    overlap = tree.mapping.get("secrets", EMPTY).mapping.get("overlap", Node(SecretsConfig().overlap)).value
    for key, previous in _FILES.items():
        named = jwt.mapping.get(key)
        if named is None or not isinstance(named.value, str) or not isinstance(overlap, int):
            continue
        file = previous_of(named.value)
        until_s = _put_aside_s(file) + overlap
        if until_s > now_s:
            until = datetime.fromtimestamp(until_s, UTC).isoformat()
            added = {previous: Node(str(file), named.origin), "previous_until": Node(until, named.origin)}
            jwt = replace(jwt, value={**jwt.mapping, **added})
            return replace(tree, value={**tree.mapping, "auth": replace(auth, value={**auth.mapping, "jwt": jwt})})
    return tree


def _put_aside_s(file: FilePath) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0

"""The lock file: what was approved, whole, sorted and in lines, so that a review of it is a review of the tools.

    {"lock": 1, "servers": {"time": {"tools": {"get_time": {"approved_by": ..., "approved_at": ..., "hash": ...,
     "definition": {...}}}}}}

A hash that does not fit its definition is an error: somebody changed one of them by hand.
"""

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, get_args

from mantlet.core.config_error import ConfigError
from mantlet.core.definition import Definition, DefinitionKey, DefinitionKind, Pin
from mantlet.wire.canonical import canonical, digest

VERSION: Final = 1
MAX_BYTES: Final = 64 * 1024 * 1024

Pins = Mapping[DefinitionKey, Pin]


def text_of(pins: Iterable[Pin]) -> str:
    """The file's text."""
    servers: dict[str, dict[str, dict[str, Any]]] = {}
    for pin in pins:
        key = pin.definition.key
        servers.setdefault(key.server, {}).setdefault(key.kind, {})[key.name] = {
            "approved_at": datetime.fromtimestamp(round(pin.at_s), UTC).isoformat().replace("+00:00", "Z"),
            "approved_by": pin.by,
            "definition": json.loads(pin.definition.text),
            "hash": pin.definition.hash,
        }
    # ASCII: what is hidden in a text stands in the file as an escape that a reviewer sees.
    return json.dumps({"lock": VERSION, "servers": servers}, indent=2, sort_keys=True, ensure_ascii=True) + "\n"


def pins_of(text: str, where: str) -> dict[DefinitionKey, Pin]:
    """The pins in a file's text. Raises `ConfigError`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError("the lock file is not JSON", where) from error
    if type(value) is not dict or value.get("lock") != VERSION or type(value.get("servers")) is not dict:
        raise ConfigError(f"the file is no lock file of version {VERSION}", where)
    pins: dict[DefinitionKey, Pin] = {}
    try:
        for server, kinds in value["servers"].items():
            for kind, items in kinds.items():
                if kind not in get_args(DefinitionKind):
                    raise ConfigError(f"{kind[:64]} is no kind of definition", where)
                for name, item in items.items():
                    key = DefinitionKey(server, kind, name)
                    pins[key] = _pin(key, item, where)
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError("the lock file is damaged", where) from error
    return pins


def _pin(key: DefinitionKey, item: Mapping[str, Any], where: str) -> Pin:
    text = canonical(item["definition"])
    if digest(text) != item["hash"]:
        raise ConfigError(
            f"the hash of {key.server}/{key.name} is not its definition's",
            where,
            "approve it anew with `mantlet pins approve`, or restore the file",
        )
    at_s = datetime.fromisoformat(item["approved_at"]).timestamp()
    return Pin(Definition(key, text, item["hash"]), at_s, str(item["approved_by"]))


class LockFile:
    """The file itself. Written whole or not at all."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._seen: tuple[int, ...] | None = None

    def is_changed(self) -> bool:
        """Whether it is another than `read` saw."""
        return self._mark() != self._seen

    def read(self) -> dict[DefinitionKey, Pin]:
        """Its pins; none where there is no file yet. Raises `ConfigError`."""
        mark = self._mark()
        try:
            if mark and mark[2] > MAX_BYTES:
                raise ConfigError(f"the lock file is larger than {MAX_BYTES} bytes", str(self.path))
            pins = pins_of(self.path.read_text("utf-8"), str(self.path))
        except FileNotFoundError:
            pins = {}
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the lock file cannot be read: {error}", str(self.path)) from error
        self._seen = mark
        return pins

    def write(self, pins: Iterable[Pin]) -> None:
        """Replace it. Raises `OSError`, and then the old one stands."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text_of(pins))
                file.flush()
                os.fsync(file.fileno())
                os.fchmod(file.fileno(), 0o644)  # it is for the repository: no secret, and read by reviewers
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _mark(self) -> tuple[int, ...]:
        try:
            stat = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return ()
        return stat.st_mtime_ns, stat.st_ino, stat.st_size

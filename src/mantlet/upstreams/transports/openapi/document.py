"""Reading a document from its file, and finding the line of what is wrong with it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from mantlet.core.refusal import Refusal
from mantlet.upstreams.transports.openapi.operations import Operations, read
from mantlet.upstreams.transports.openapi.references import BadDocument
from mantlet.wire import jsonrpc

MAX_DOCUMENT_BYTES: Final = 16 * 1024 * 1024
_ANY: Final = jsonrpc.Bounds(max_depth=200, max_keys=1_000_000)


def open_document(path: str, wanted: tuple[str, ...]) -> Operations:
    """The operations of the document at `path`, JSON or YAML. Raises `ValueError`, which names file and line, or
    `OSError`."""
    file = Path(path)
    if file.stat().st_size > MAX_DOCUMENT_BYTES:
        raise ValueError(f"{path}: larger than {MAX_DOCUMENT_BYTES} bytes")
    text = file.read_text(encoding="utf-8")
    # JSON is YAML, and reading it as such is slow: a large document takes seconds.
    is_json = text.lstrip().startswith("{")
    try:
        document: Any = jsonrpc.decode(text.encode(), _ANY) if is_json else yaml.safe_load(text)
        return read(document, wanted)
    except BadDocument as error:
        line = line_of(text, error.where) if error.where else 0
        raise ValueError(f"{path}{_line(line)}: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or getattr(error, "context", None) or "it cannot be read"
        raise ValueError(f"{path}{_line(mark.line + 1 if mark else 0)}: is not YAML: {said}") from error
    except Refusal as error:
        raise ValueError(f"{path}{_line(_line_of_json(text))}: is not JSON: {error.detail}") from error


def line_of(text: str, keys: Sequence[str]) -> int:
    """The line, from 1, of the last of `keys` that is there; 0 when that cannot be told."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return 0  # JSON with tabs, for instance, is no YAML
    line = 0
    for key in keys:
        if not isinstance(node, yaml.MappingNode):
            break
        found = next((pair for pair in node.value if pair[0].value == key), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def _line_of_json(text: str) -> int:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.lineno
    except (ValueError, RecursionError):
        pass
    return 0


def _line(number: int) -> str:
    return f", line {number}" if number else ""

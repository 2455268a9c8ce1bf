"""Tool arguments as people type them."""

import json
from collections.abc import Sequence
from typing import Any

from mantlet.core.config_error import ConfigError


def arguments_of(pairs: Sequence[str], whole: str = "") -> dict[str, Any]:
    """`key=value` pairs over a JSON object. Raises `ConfigError`.

    A value that is JSON is taken as such; anything else is text, so that quotes are only needed for the text "3".
    """
    try:
        arguments = json.loads(whole) if whole.strip() else {}
    except ValueError as error:
        raise ConfigError("--args", f"is not JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise ConfigError("--args", "must be a JSON object", '{"key": "value"}')
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise ConfigError(pair, "is no argument", "write KEY=VALUE, or --args with a JSON object")
        arguments[key] = _value(text)
    return arguments


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text

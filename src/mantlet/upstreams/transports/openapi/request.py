"""From a tool's arguments to an HTTP request (OpenAPI 3.1, "Style Values"). Pure.

An argument fills exactly the place it is for: every character that could mean something there is encoded, so none can
become a path segment, a query field or a header line of its own (EGR-03).
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from mantlet.upstreams.transports.openapi.operations import FORM, JSON, TEXT, Operation, Parameter

MAX_TARGET_BYTES: Final = 8_192
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]*")


class BadArguments(ValueError):
    """The arguments do not fit the tool; the message is for whoever called it."""


def build(operation: Operation, arguments: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]], bytes | None, str]:
    """Target below the service's URL, header fields, body and its type. Raises `BadArguments`."""
    if unknown := sorted(set(arguments) - operation.arguments):
        raise BadArguments(f"unknown argument: {unknown[0][:100]}")
    if missing := sorted(name for name in operation.required if arguments.get(name) is None):
        raise BadArguments(f"missing argument: {missing[0]}")
    given = [(parameter, arguments[parameter.argument]) for parameter in operation.parameters
             if arguments.get(parameter.argument) is not None]  # fmt: skip
    target = _path(operation, {parameter.name: value for parameter, value in given if parameter.where == "path"})
    query = [pair for parameter, value in given if parameter.where == "query" for pair in _query(parameter, value)]
    if query:
        target += "?" + urlencode(query, quote_via=quote, safe="")
    if len(target) > MAX_TARGET_BYTES:
        raise BadArguments(f"path and query are longer than {MAX_TARGET_BYTES} bytes")
    fields = [
        (parameter.name.lower(), _header(parameter, value)) for parameter, value in given if parameter.where == "header"
    ]
    body, kind = _body(operation, arguments)
    return target, fields, body, kind


def _path(operation: Operation, values: Mapping[str, Any]) -> str:
    made = [operation.path[0]]
    for name, text in zip(operation.path[1::2], operation.path[2::2], strict=True):
        segment = quote(_simple(name, values[name]), safe="")
        if segment in ("", ".", ".."):
            # Encoded or not, these three are read as "this folder", "its parent" or as nothing at all.
            raise BadArguments(f"{name} must not be empty, '.' or '..'")
        made += [segment, text]
    path = "".join(made)
    if any(part in (".", "..") for part in path.split("/")):
        raise BadArguments("the path would leave its place")
    return path


def _query(parameter: Parameter, value: Any) -> list[tuple[str, str]]:
    name = parameter.name
    if type(value) is list:
        items = [_scalar(name, item) for item in value]
        return [(name, item) for item in items] if parameter.explode else [(name, ",".join(items))]
    if type(value) is dict:
        pairs = [(str(key), _scalar(name, inner)) for key, inner in value.items()]
        if parameter.style == "deepObject":
            return [(f"{name}[{key}]", inner) for key, inner in pairs]
        if parameter.explode:
            return pairs
        return [(name, ",".join(part for pair in pairs for part in pair))]
    return [(name, _scalar(name, value))]


def _header(parameter: Parameter, value: Any) -> str:
    text = _simple(parameter.name, value)
    if not _HEADER_VALUE.fullmatch(text) or text != text.strip():
        raise BadArguments(f"{parameter.name} must be printable ASCII without spaces around it")
    return text


def _simple(name: str, value: Any) -> str:
    if type(value) is list:
        return ",".join(_scalar(name, item) for item in value)
    if type(value) is dict:
        return ",".join(part for key, inner in value.items() for part in (str(key), _scalar(name, inner)))
    return _scalar(name, value)


def _scalar(name: str, value: Any) -> str:
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int or type(value) is float:
        return json.dumps(value)
    raise BadArguments(f"{name} must be a text, a number or a truth value here")


def _body(operation: Operation, arguments: Mapping[str, Any]) -> tuple[bytes | None, str]:
    value = arguments.get(operation.body) if operation.body else None
    if value is None:
        return None, ""
    match operation.body_type:
        case kind if kind == JSON:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(), JSON
        case kind if kind == FORM:
            if type(value) is not dict:
                raise BadArguments(f"{operation.body} must be an object")
            pairs = [(str(key), _simple(str(key), inner)) for key, inner in value.items()]
            return urlencode(pairs).encode(), FORM
        case _:
            if type(value) is not str:
                raise BadArguments(f"{operation.body} must be a text")
            return value.encode(), f"{TEXT}; charset=utf-8"

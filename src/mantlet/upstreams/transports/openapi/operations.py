"""From an OpenAPI 3.0 or 3.1 document to tools. Pure.

An operation that cannot be carried over whole (a required cookie, a body of a type that is not JSON, a form or text)
is left out and named, never half offered.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import quote

from mantlet.upstreams.transports.openapi.references import BadDocument, resolved, self_contained

VERBS: Final = ("get", "put", "post", "delete", "options", "head", "patch")
MAX_OPERATIONS: Final = 1_000
MAX_DESCRIPTION: Final = 4_000
JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
TEXT: Final = "text/plain"

_READ_ONLY: Final = frozenset({"get", "head", "options"})
_IDEMPOTENT: Final = _READ_ONLY | {"put", "delete"}
_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_TEMPLATE: Final = re.compile(r"\{([^{}]+)\}")
_FIELD_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PATH_CHARACTERS: Final = "/:@!$&'()*+,;=-._~%"
"""RFC 3986, "Path"; what is encoded already stays so."""
_NEVER_A_PARAMETER: Final = frozenset({"accept", "content-type", "authorization"})
"""OpenAPI 3.1, "Parameter Object": header parameters of these names are ignored."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: the argument that holds it, and how it goes out."""

    argument: str
    name: str
    where: str
    """`path`, `query` or `header`."""
    style: str
    explode: bool


@dataclass(frozen=True, slots=True)
class Operation:
    """One tool, and how a call of it becomes a request."""

    name: str
    verb: str
    path: tuple[str, ...]
    """The path template cut at its expressions: text, parameter, text, parameter, ..., text."""
    parameters: tuple[Parameter, ...]
    required: frozenset[str]
    arguments: frozenset[str]
    body: str
    """The argument that is the body, empty without one."""
    body_type: str
    tool: Mapping[str, Any]
    """As `tools/list` shows it."""


@dataclass(frozen=True, slots=True)
class Operations:
    """The tools of a document, and why others are missing."""

    tools: Mapping[str, Operation]
    left_out: tuple[str, ...]
    title: str
    version: str


def read(document: Any, wanted: tuple[str, ...] = ("*",)) -> Operations:
    """The operations of `document` whose names match `wanted`. Raises `BadDocument`."""
    if type(document) is not dict or not str(document.get("openapi", "")).startswith("3."):
        raise BadDocument("it is no OpenAPI 3 document (its `openapi` must begin with 3.)")
    info = _mapping(document.get("info"))
    tools: dict[str, Operation] = {}
    left_out: list[str] = []
    for path, verb, item, operation in _operations(document):
        name = _name(operation, verb, path)
        if not any(fnmatchcase(name, pattern) for pattern in wanted):
            continue
        with _at("paths", path, verb):
            if name in tools:
                raise BadDocument(f"two operations are called {name!r} (operationId must be unique)")
            try:
                tools[name] = _operation(document, name, path, verb, item, operation)
            except _CannotCarry as why:
                left_out.append(f"{name}: {why}")
        if len(tools) > MAX_OPERATIONS:
            raise BadDocument(f"more than {MAX_OPERATIONS} operations; choose with `operations`")
    return Operations(tools, tuple(left_out), str(info.get("title", ""))[:200], str(info.get("version", ""))[:100])


class _CannotCarry(Exception):
    pass


@contextmanager
def _at(*where: str) -> Iterator[None]:
    try:
        yield
    except BadDocument as error:
        error.where = error.where or where
        raise


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]]:
    paths = document.get("paths")
    if paths is not None and type(paths) is not dict:
        raise BadDocument("`paths` must be a mapping")
    for path, raw in (paths or {}).items():
        with _at("paths", str(path)):
            item = resolved(document, raw)
            if type(path) is not str or not path.startswith("/") or type(item) is not dict:
                raise BadDocument(f"the path {str(path)[:100]!r} must begin with / and hold operations")
        for verb in VERBS:
            operation = item.get(verb)
            if type(operation) is dict:
                yield path, verb, item, operation


def _name(operation: Mapping[str, Any], verb: str, path: str) -> str:
    given = operation.get("operationId")
    text = given if type(given) is str and given else f"{verb}_{path.strip('/')}"
    return _NOT_IN_A_NAME.sub("_", text).strip("_")[:64] or verb


def _operation(
    document: Mapping[str, Any],
    name: str,
    path: str,
    verb: str,
    item: Mapping[str, Any],
    operation: Mapping[str, Any],
) -> Operation:
    properties: dict[str, Any] = {}
    required: set[str] = set()
    parameters: list[Parameter] = []
    for raw in _parameters(document, item, operation):
        if (parameter := _parameter(raw, properties)) is None:
            continue
        parameters.append(parameter)
        properties[parameter.argument] = _described(_schema(raw), raw)
        if raw.get("required") is True or parameter.where == "path":
            required.add(parameter.argument)
    cut = tuple(
        part if index % 2 else quote(part, safe=_PATH_CHARACTERS) for index, part in enumerate(_TEMPLATE.split(path))
    )
    by_name = {parameter.name for parameter in parameters if parameter.where == "path"}
    if missing := set(cut[1::2]) - by_name:
        raise BadDocument(f"{name}: the path parameter {min(missing)!r} is not described")
    body, body_type = _body(document, operation, properties, required)
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = sorted(required)
    return Operation(
        name=name,
        verb=verb.upper(),
        path=cut,
        parameters=tuple(parameters),
        required=frozenset(required),
        arguments=frozenset(properties),
        body=body,
        body_type=body_type,
        tool=_tool(document, name, verb, operation, schema),
    )


def _tool(
    document: Mapping[str, Any], name: str, verb: str, operation: Mapping[str, Any], schema: Mapping[str, Any]
) -> dict[str, Any]:
    said = [operation.get("summary"), operation.get("description")]
    description = "\n\n".join(text for text in said if type(text) is str and text)
    tool: dict[str, Any] = {"name": name, "inputSchema": self_contained(document, schema)}
    if description:
        tool["description"] = description[:MAX_DESCRIPTION]
    tool["annotations"] = {
        "readOnlyHint": verb in _READ_ONLY,
        "destructiveHint": verb not in _READ_ONLY and verb != "post",
        "idempotentHint": verb in _IDEMPOTENT,
    }
    return tool


def _parameters(
    document: Mapping[str, Any], item: Mapping[str, Any], operation: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """Those of the path, overridden by those of the operation (name and place together are the key)."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for raw in [*(item.get("parameters") or []), *(operation.get("parameters") or [])]:
        parameter = resolved(document, raw)
        if type(parameter) is not dict or type(parameter.get("name")) is not str:
            raise BadDocument("a parameter has no name")
        found[parameter["name"], str(parameter.get("in"))] = parameter
    return list(found.values())


def _parameter(raw: Mapping[str, Any], taken: Mapping[str, Any]) -> Parameter | None:
    name, where = raw["name"], raw.get("in")
    if where == "header" and name.lower() in _NEVER_A_PARAMETER:
        return None
    if where not in ("path", "query", "header"):
        if raw.get("required") is True:
            raise _CannotCarry(f"it needs a parameter in {where}")
        return None
    if where == "header" and not _FIELD_NAME.fullmatch(name):
        raise _CannotCarry(f"{name!r} is no name of a header")
    style = str(raw.get("style") or {"query": "form"}.get(where, "simple"))
    if style not in {"path": ("simple",), "header": ("simple",), "query": ("form", "deepObject")}[where]:
        raise _CannotCarry(f"parameters of the style {style!r} are not offered")
    explode = raw["explode"] if type(raw.get("explode")) is bool else style in ("form", "deepObject")
    return Parameter(name if name not in taken else f"{name}__{where}", name, where, style, explode)


def _schema(raw: Mapping[str, Any]) -> Any:
    if "schema" in raw:
        return raw["schema"]
    content = raw.get("content")
    if type(content) is dict and content:
        raise _CannotCarry("parameters with a media type are not offered")
    return {}


def _described(schema: Any, raw: Mapping[str, Any]) -> Any:
    text = raw.get("description")
    if type(schema) is dict and type(text) is str and "description" not in schema and "$ref" not in schema:
        return {**schema, "description": text[:MAX_DESCRIPTION]}
    return schema


def _mapping(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else {}


def _body(
    document: Mapping[str, Any], operation: Mapping[str, Any], properties: dict[str, Any], required: set[str]
) -> tuple[str, str]:
    body = resolved(document, operation.get("requestBody"))
    if type(body) is not dict:
        return "", ""
    content = _mapping(body.get("content"))
    kinds = {str(kind).partition(";")[0].strip().lower(): value for kind, value in content.items()}
    kind = next((kind for kind in (JSON, FORM, TEXT) if kind in kinds), "")
    if not kind:
        if body.get("required") is True:
            raise _CannotCarry(f"its body is {', '.join(sorted(kinds)) or 'of no type'}")
        return "", ""
    argument = "body" if "body" not in properties else "request_body"
    media = _mapping(kinds[kind])
    schema = media.get("schema", {"type": "string"} if kind == TEXT else {})
    properties[argument] = _described(schema, body)
    if body.get("required") is True:
        required.add(argument)
    return argument, kind

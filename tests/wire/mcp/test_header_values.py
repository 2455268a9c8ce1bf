import pytest

from mantlet.core.headers import Headers
from mantlet.core.refusal import HeaderMismatch
from mantlet.wire.mcp.header_values import annotated, check_params, decode_value, encode_value


@pytest.mark.parametrize(
    "value", ["echo", "", " padded ", "日本", "tab\there", "=?base64?eA==?=", "a=?base64?eA==?=", "\r\n", "\x7f", "é"]
)
def test_every_value_survives_a_header(value: str) -> None:
    raw = encode_value(value)
    assert raw.isascii()
    assert b"\r" not in raw
    assert b"\n" not in raw
    assert decode_value(raw) == value


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"=?base64?eA==?=", "x"),
        (b"=?base64?eA?=", None),
        (b"=?base64?eB==?=", None),  # another encoding of "x": two of one value must not both pass
        (b"=?base64?e A==?=", None),
        (b"=?base64?/w==?=", None),
        (b"=?base64??=", ""),
        (b"=?BASE64?eA==?=", "=?BASE64?eA==?="),
        (b"caf\xe9", None),
        (b"plain", "plain"),
    ],
)
def test_what_cannot_be_decoded_equals_nothing(raw: bytes, value: str | None) -> None:
    assert decode_value(raw) == value


def schema(**properties: object) -> dict[str, object]:
    return {"type": "object", "properties": properties}


def test_annotations_are_found_through_properties_alone() -> None:
    found = annotated(
        schema(
            region={"type": "string", "x-mcp-header": "Region"},
            deep={"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "Deep-N"}}},
            items={"type": "array", "items": {"type": "string", "x-mcp-header": "Never"}},
        )
    )
    assert found == {("region",): (b"mcp-param-region", "string"), ("deep", "n"): (b"mcp-param-deep-n", "integer")}


@pytest.mark.parametrize(
    "properties",
    [
        {"a": {"type": "string", "x-mcp-header": "bad name"}},
        {"a": {"type": "string", "x-mcp-header": ""}},
        {"a": {"type": "string", "x-mcp-header": 7}},
        {"a": {"type": "number", "x-mcp-header": "A"}},
        {"a": {"x-mcp-header": "A"}},
        {"a": {"type": "string", "x-mcp-header": "A"}, "b": {"type": "string", "x-mcp-header": "a"}},
    ],
)
def test_one_broken_annotation_means_none(properties: dict[str, object]) -> None:
    assert annotated(schema(good={"type": "string", "x-mcp-header": "Good"}, **properties)) == {}


@pytest.mark.parametrize("broken", [None, [], "x", {"properties": []}, {"properties": {"a": None}}])
def test_a_schema_of_no_shape_has_no_annotations(broken: object) -> None:
    assert annotated(broken) == {}


PATHS = {("region",): (b"mcp-param-region", "string"), ("n",): (b"mcp-param-n", "integer")}


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ({}, []),
        ({"region": "eu"}, [(b"mcp-param-region", b"eu")]),
        ({"region": "日"}, [(b"mcp-param-region", encode_value("日"))]),
        ({"region": ""}, [(b"mcp-param-region", b"")]),
        ({"n": 42}, [(b"mcp-param-n", b"42")]),
        ({"n": 42}, [(b"mcp-param-n", b"42.0")]),
        ({"n": 42.0}, [(b"mcp-param-n", b"42")]),
        ({"region": None}, []),
        ({"other": 1}, [(b"mcp-param-other", b"2")]),
    ],
)
def test_header_and_argument_that_agree_pass(arguments: dict[str, object], fields: list[tuple[bytes, bytes]]) -> None:
    check_params(PATHS, arguments, Headers(fields))


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ({"region": "eu"}, []),
        ({}, [(b"mcp-param-region", b"eu")]),
        ({"region": "eu"}, [(b"mcp-param-region", b"us")]),
        ({"region": "eu"}, [(b"mcp-param-region", b"EU")]),
        ({"region": "eu"}, [(b"mcp-param-region", b"eu"), (b"mcp-param-region", b"eu")]),
        ({"region": "eu"}, [(b"mcp-param-region", b"=?base64?ZXU?=")]),
        ({"region": ["eu"]}, [(b"mcp-param-region", b"['eu']")]),
        ({"n": 42}, [(b"mcp-param-n", b"43")]),
        ({"n": 42}, [(b"mcp-param-n", b"42.5")]),
        ({"n": 42}, [(b"mcp-param-n", b"1" * 129)]),
        ({"n": 42}, [(b"mcp-param-n", b"0x2a")]),
    ],
)
def test_header_and_argument_that_contradict_are_refused(
    arguments: dict[str, object], fields: list[tuple[bytes, bytes]]
) -> None:
    """MCP-01"""
    with pytest.raises(HeaderMismatch):
        check_params(PATHS, arguments, Headers(fields))

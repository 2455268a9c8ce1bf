import pytest

from mantlet.core.headers import Headers
from mantlet.core.refusal import HeaderMismatch, InvalidParams, InvalidRequest, Refusal, UnsupportedVersion
from mantlet.wire import jsonrpc
from mantlet.wire.mcp import inbound
from mantlet.wire.mcp.header_values import encode_value

VERSION = "2026-07-28"
META = {"io.modelcontextprotocol/protocolVersion": VERSION, "io.modelcontextprotocol/clientCapabilities": {}}
CALL = {"name": "echo", "arguments": {}, "_meta": META}
HEADERS = {"mcp-protocol-version": VERSION, "mcp-method": "tools/call", "mcp-name": "echo"}


def read(
    params: dict[str, object] | None = CALL,
    headers: dict[str, str | bytes] | list[tuple[bytes, bytes]] = HEADERS,  # type: ignore[assignment]
    *,
    method: str = "tools/call",
    **envelope: object,
) -> inbound.Inbound:
    message: dict[str, object] = {"jsonrpc": "2.0", "id": 1, "method": method, **envelope}
    if params is not None:
        message["params"] = params
    message = {name: value for name, value in message.items() if value is not ...}
    fields = (
        headers
        if isinstance(headers, list)
        else [(n.encode(), v if isinstance(v, bytes) else v.encode("latin-1")) for n, v in headers.items()]
    )
    return inbound.read(jsonrpc.envelope(message), Headers(fields))


def without(given: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in given.items() if name not in names}


def test_a_modern_request() -> None:
    assert read() == inbound.Inbound("request", "modern", VERSION)


def test_a_name_that_no_header_can_hold_stands_encoded() -> None:
    assert read({**CALL, "name": "日"}, {**HEADERS, "mcp-name": encode_value("日")}).era == "modern"


@pytest.mark.parametrize(
    ("params", "headers", "refusal"),
    [
        (CALL, without(HEADERS, "mcp-protocol-version"), HeaderMismatch),
        (CALL, {**HEADERS, "mcp-protocol-version": "2025-11-25"}, HeaderMismatch),
        (CALL, {**HEADERS, "mcp-protocol-version": "2026-07-29"}, HeaderMismatch),
        (CALL, without(HEADERS, "mcp-method"), HeaderMismatch),
        (CALL, {**HEADERS, "mcp-method": "tools/list"}, HeaderMismatch),
        (CALL, {**HEADERS, "mcp-method": "Tools/Call"}, HeaderMismatch),
        (CALL, {**HEADERS, "mcp-method": "tools/c\xe1ll"}, HeaderMismatch),
        (CALL, without(HEADERS, "mcp-name"), HeaderMismatch),
        (CALL, {**HEADERS, "mcp-name": "exec"}, HeaderMismatch),
        (CALL, {**HEADERS, "mcp-name": "Echo"}, HeaderMismatch),
        (CALL, {**HEADERS, "mcp-name": "=?base64?ZWNobw?="}, HeaderMismatch),
        ({**CALL, "name": 5}, HEADERS, InvalidParams),
        ({"arguments": {}, "_meta": META}, HEADERS, InvalidParams),
        ({"name": "echo", "arguments": {}}, HEADERS, InvalidParams),
        ({"name": "echo", "_meta": None}, HEADERS, InvalidParams),
        ({"name": "echo", "_meta": {"io.modelcontextprotocol/protocolVersion": VERSION}}, HEADERS, InvalidParams),
        ({**CALL, "_meta": {**META, "io.modelcontextprotocol/clientCapabilities": []}}, HEADERS, InvalidParams),
        ({**CALL, "_meta": {**META, "io.modelcontextprotocol/protocolVersion": 7}}, HEADERS, HeaderMismatch),
        ({**CALL, "Name": "exec"}, HEADERS, InvalidRequest),
        ({**CALL, "\uff4eame": "exec"}, HEADERS, InvalidRequest),
    ],
)
def test_a_modern_request_that_contradicts_itself_is_refused(
    params: dict[str, object], headers: dict[str, str | bytes], refusal: type[Refusal]
) -> None:
    """MCP-01, MCP-02, VAL-02"""
    with pytest.raises(refusal):
        read(params, headers)


@pytest.mark.parametrize("name", ["mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id"])
def test_a_routing_header_that_stands_twice_is_refused(name: str) -> None:
    """MCP-01: whichever of the two somebody else would read."""
    fields = [(n.encode(), v.encode()) for n, v in HEADERS.items()]
    with pytest.raises(HeaderMismatch, match="more than once"):
        read(headers=[*fields, (name.encode(), b"x"), (name.encode(), b"x")])


def test_an_unknown_revision_hears_which_are_served() -> None:
    """MCP-02"""
    meta = {**META, "io.modelcontextprotocol/protocolVersion": "2099-01-01"}
    with pytest.raises(UnsupportedVersion) as refused:
        read({**CALL, "_meta": meta}, {**HEADERS, "mcp-protocol-version": "2099-01-01"})
    assert refused.value.data["requested"] == "2099-01-01"
    # Not the legacy ones: they begin with `initialize`, and the server behind may know none (and the suite refuses it).
    assert refused.value.data["supported"] == [VERSION]


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05", None])
def test_a_message_without_a_modern_word_is_legacy(version: str | None) -> None:
    headers = {} if version is None else {"mcp-protocol-version": version}
    assert read({"name": "echo"}, headers).era == "legacy"  # type: ignore[arg-type]


@pytest.mark.parametrize("meta", [None, {}, {"io.modelcontextprotocol/clientCapabilities": {}}])
def test_a_modern_message_without_a_version_is_told_what_it_lacks(meta: object) -> None:
    """MCP-02: on a channel no header could say it. Beside a legacy session the method is unknown, as to any server."""
    envelope = jsonrpc.envelope({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": meta}})
    with pytest.raises(InvalidParams, match="lacks io"):
        inbound.read(envelope, Headers(()), is_message=True)
    negotiated = Headers([(b"mcp-protocol-version", b"2025-11-25")])
    assert inbound.read(envelope, negotiated, is_message=True).era == "legacy"


@pytest.mark.parametrize("version", ["2024-01-01", "", "draft", "2026-07-28 "])
def test_a_version_of_no_era_is_not_taken_for_legacy(version: str) -> None:
    with pytest.raises(Refusal):
        read({"name": "echo"}, {"mcp-protocol-version": version})


def test_initialize_negotiates_in_its_params_whatever_the_header_says() -> None:
    assert read({"protocolVersion": "x"}, {"mcp-protocol-version": VERSION}, method="initialize").era == "legacy"


@pytest.mark.parametrize(
    ("envelope", "headers", "kind"),
    [
        ({"id": ..., "method": "notifications/initialized"}, {}, "notification"),
        ({"method": ..., "result": {}}, {"mcp-protocol-version": "2025-11-25"}, "response"),
        ({"id": ..., "method": "notifications/cancelled"}, {"mcp-protocol-version": VERSION}, "notification"),
    ],
)
def test_kinds(envelope: dict[str, object], headers: dict[str, str | bytes], kind: str) -> None:
    assert read(None, headers, **{"method": "x", **envelope}).kind == kind  # type: ignore[arg-type]


def test_a_modern_client_sends_no_responses() -> None:
    """MCP-03"""
    with pytest.raises(InvalidRequest):
        read(None, {"mcp-protocol-version": VERSION}, method=..., result={})  # type: ignore[arg-type]


@pytest.mark.parametrize("is_message", [True, False])
def test_who_forgot_to_begin_is_told_so_in_words_of_the_door(is_message: bool) -> None:
    said = inbound.without_session(is_message).detail
    assert "initialize" in said
    assert ("Mcp-Session-Id" in said) is not is_message

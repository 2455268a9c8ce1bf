"""Legacy requests in modern words: what is not named changes no byte. VAL-02"""

import json

import pytest

from mantlet.core.refusal import InvalidParams
from mantlet.wire.mcp.bridge.to_modern_request import (
    full_body,
    members_of,
    meta_of,
    params_of,
    plain_body,
)
from mantlet.wire.mcp.methods import META_CAPABILITIES, META_CLIENT_INFO, META_VERSION

META = meta_of({"name": "c", "version": "1"}, {"roots": {}}, "info")
SAID = {
    META_VERSION: "2026-07-28",
    META_CLIENT_INFO: {"name": "c", "version": "1"},
    META_CAPABILITIES: {"roots": {}},
    "io.modelcontextprotocol/logLevel": "info",
}
ODD = '{"a" : 1.0, "b":1e2 ,"c":"\\u00e9 \\/", "d":123456789012345678901234567890, "e":{ }}'
"""Bytes that a decoder and encoder would change."""


def message(params: str) -> bytes:
    return b'{"jsonrpc":"2.0","method":"tools/call","id":1%b}' % (b',"params":' + params.encode() if params else b"")


@pytest.mark.parametrize("params", ["", "{}", "{ }", '{"name":"x"}', ' { "name" : "x" , "arguments":' + ODD + "}"])
def test_params_without_meta_keep_their_bytes(params: str) -> None:
    made = plain_body(b'"7"', b'"tools/call"', message(params), META)
    read = json.loads(made)
    assert read["params"].pop("_meta") == SAID
    assert read == {"jsonrpc": "2.0", "id": "7", "method": "tools/call", "params": json.loads(params or "{}")}
    assert params.strip()[1:-1].strip().encode() in made


def test_params_with_meta_keep_what_the_client_wrote_there_and_all_bytes_of_the_arguments() -> None:
    meta = '{"progressToken": 1.0, "x/y": {"z" :1}, "io.modelcontextprotocol/logLevel":"debug"}'
    body = message('{"_meta":' + meta + ',"name":"x","arguments":' + ODD + ',"new":[1, 2]}')
    made = full_body(b"1", b'"tools/call"', members_of(body), META)
    read = json.loads(made)
    assert read["params"]["_meta"] == {**SAID, "progressToken": 1.0, "x/y": {"z": 1}}
    assert ODD.encode() in made
    assert b'{"z" :1}' in made
    assert b"[1, 2]" in made


def test_a_client_cannot_say_what_only_the_handshake_says() -> None:
    """MCP-04"""
    meta = json.dumps({META_CAPABILITIES: {"elicitation": {}}, META_CLIENT_INFO: {"name": "other"}})
    made = full_body(b"1", b'"tools/call"', members_of(message('{"_meta":' + meta + "}")), META)
    assert json.loads(made)["params"]["_meta"] == SAID
    assert params_of({"_meta": json.loads(meta)}, META)["_meta"] == SAID


def test_members_of_the_other_era_do_not_pass() -> None:
    params = {"name": "x", "inputResponses": {}, "requestState": "s", "task": {"ttl": 1}}
    made = full_body(b"1", b'"tools/call"', members_of(message(json.dumps(params))), META)
    assert json.loads(made)["params"] == {"name": "x", "_meta": SAID}
    assert params_of(params, META) == {"name": "x", "_meta": SAID}


def test_a_retry_has_the_same_params_and_the_state_as_it_came() -> None:
    state = b'"a\\u00e9\\/b"'
    body = message('{"name":"x","arguments":' + ODD + "}")
    made = full_body(b"1", b'"m"', members_of(body), META, {"requestState": state, "inputResponses": b'{"k":{}}'})
    assert state in made
    assert ODD.encode() in made
    assert json.loads(made)["params"]["inputResponses"] == {"k": {}}


@pytest.mark.parametrize("meta", ["[]", '"x"', "1"])
def test_meta_must_be_an_object(meta: str) -> None:
    with pytest.raises(InvalidParams):
        full_body(b"1", b'"m"', members_of(message('{"_meta":' + meta + "}")), META)
    with pytest.raises(InvalidParams):
        params_of({"_meta": json.loads(meta)}, META)

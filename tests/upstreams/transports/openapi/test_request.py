import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.upstreams.transports.openapi.support import DOCUMENT

from mantlet.upstreams.transports.openapi.operations import read
from mantlet.upstreams.transports.openapi.request import BadArguments, build

TOOLS = read(DOCUMENT).tools


@pytest.mark.parametrize(
    ("tool", "arguments", "target"),
    [
        ("getPet", {"petId": "7"}, "/pets/7"),
        ("getPet", {"petId": "a/b?c#d"}, "/pets/a%2Fb%3Fc%23d"),
        ("getPet", {"petId": "%2e%2e"}, "/pets/%252e%252e"),
        ("getPet", {"petId": "é"}, "/pets/%C3%A9"),
        ("getPet", {"petId": "1", "fields": ["a", "b&c"]}, "/pets/1?fields=a&fields=b%26c"),
        ("getPet", {"petId": "1", "petId__query": 3}, "/pets/1?petId=3"),
        ("get_search", {"filter": {"k": 1, "x]y": True}}, "/search?filter%5Bk%5D=1&filter%5Bx%5Dy%5D=true"),
        ("get_search", {"tags": ["a", "b"]}, "/search?tags=a%2Cb"),
    ],
)
def test_arguments_fill_their_place_and_no_other(tool: str, arguments: dict[str, Any], target: str) -> None:
    """EGR-03"""
    assert build(TOOLS[tool], arguments)[0] == target


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("getPet", {}, "missing argument: petId"),
        ("getPet", {"petId": None}, "missing argument: petId"),
        ("getPet", {"petId": "1", "admin": True}, "unknown argument: admin"),
        ("getPet", {"petId": ".."}, "must not be empty"),
        ("getPet", {"petId": "."}, "must not be empty"),
        ("getPet", {"petId": ""}, "must not be empty"),
        ("getPet", {"petId": [[1]]}, "must be a text"),
        ("getPet", {"petId": "1", "X-Trace": "a\r\nx-evil: 1"}, "printable ASCII"),
        ("getPet", {"petId": "x" * 9_000}, "longer than"),
        ("form_search", {"body": "text"}, "must be an object"),
    ],
)
def test_what_does_not_fit_is_refused(tool: str, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(BadArguments, match=said):
        build(TOOLS[tool], arguments)


def test_bodies_are_of_the_type_the_document_names() -> None:
    _, _, body, kind = build(TOOLS["putPet"], {"petId": "1", "body": {"name": "é"}})
    assert (json.loads(body or b""), kind) == ({"name": "é"}, "application/json")
    _, _, body, kind = build(TOOLS["form_search"], {"body": {"q": "a b&c"}})
    assert (body, kind) == (b"q=a+b%26c", "application/x-www-form-urlencoded")


@given(st.text())
def test_no_text_leaves_its_segment(text: str) -> None:
    try:
        target = build(TOOLS["getPet"], {"petId": text})[0]
    except (BadArguments, UnicodeEncodeError):
        return
    assert target.startswith("/pets/")
    assert target.isascii()
    assert not set(target.removeprefix("/pets/")) & set("/?#\r\n \\")

import copy
from typing import Any

import pytest
from tests.upstreams.transports.openapi.support import DOCUMENT

from mantlet.upstreams.transports.openapi.operations import read
from mantlet.upstreams.transports.openapi.references import BadDocument

OPERATIONS = read(DOCUMENT)


def test_each_operation_is_a_tool_and_what_cannot_be_carried_is_named() -> None:
    assert set(OPERATIONS.tools) == {"getPet", "putPet", "get_search", "form_search"}
    assert OPERATIONS.left_out == ("upload: its body is multipart/form-data",)
    assert (OPERATIONS.title, OPERATIONS.version) == ("Pets", "2.0")


def test_arguments_of_one_name_in_two_places_are_told_apart() -> None:
    schema = OPERATIONS.tools["getPet"].tool["inputSchema"]
    assert set(schema["properties"]) == {"petId", "fields", "X-Trace", "petId__query"}
    assert schema["required"] == ["petId"]
    assert schema["additionalProperties"] is False


def test_a_schema_holds_all_that_it_refers_to_and_a_circle_ends() -> None:
    schema = OPERATIONS.tools["putPet"].tool["inputSchema"]
    assert schema["properties"]["body"] == {"$ref": "#/$defs/Pet"}
    assert schema["$defs"]["Pet"]["properties"]["parent"] == {"$ref": "#/$defs/Pet"}
    assert schema["$defs"]["Pet"]["properties"]["name"]["type"] == ["string", "null"]
    assert schema["$defs"]["Kind"] == {"enum": ["cat", "dog"]}


def test_hints_follow_the_verb() -> None:
    assert OPERATIONS.tools["getPet"].tool["annotations"]["readOnlyHint"] is True
    assert OPERATIONS.tools["putPet"].tool["annotations"] == {
        "readOnlyHint": False,
        "destructiveHint": True,
        "idempotentHint": True,
    }


def test_operations_are_chosen_by_name() -> None:
    assert set(read(DOCUMENT, ("get*",)).tools) == {"getPet", "get_search"}


def changed(path: list[Any], value: Any) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    node: Any = document
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"swagger": "2.0"}, "no OpenAPI 3 document"),
        ([], "no OpenAPI 3 document"),
        (changed(["paths", "/search", "get", "operationId"], "getPet"), "two operations are called"),
        (changed(["paths", "/pets/{petId}", "parameters"], []), "is not described"),
        (changed(["paths", "relative"], {"get": {}}), "must begin with /"),
        (
            changed(["components", "schemas", "Kind"], {"$ref": "https://evil.example/schema.json"}),
            "leads out of the document",
        ),
        (changed(["components", "schemas", "Kind"], {"$ref": "file:///etc/passwd"}), "leads out of the document"),
        (changed(["components", "schemas", "Kind"], {"$ref": "#/nowhere"}), "leads nowhere"),
        (changed(["paths", "/search"], {"$ref": "#/paths/~1search"}), "in a circle"),
    ],
)
def test_a_bad_document_is_refused_with_its_reason(document: Any, said: str) -> None:
    """EGR-03: nothing is fetched because a document says so."""
    with pytest.raises(BadDocument, match=said):
        read(document)

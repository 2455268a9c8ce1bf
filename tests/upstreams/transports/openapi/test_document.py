"""What is wrong with a document is told with its line."""

import json
from pathlib import Path

import pytest

from mantlet.upstreams.transports.openapi import document
from mantlet.upstreams.transports.openapi.document import line_of, open_document

HEAD = "openapi: 3.0.3\ninfo: {title: t, version: '1'}\npaths:\n"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (HEAD + "  /a: {get: {operationId: x}}\n  /b:\n    get: {operationId: x}\n", 6, "two operations"),
        (HEAD + "  /a/{id}:\n    summary: s\n    put: {}\n", 6, "'id' is not described"),
        (HEAD + "  a: {get: {}}\n", 4, "must begin with /"),
        (HEAD + "  /a:\n    $ref: '#/nowhere'\n", 4, "leads nowhere"),
        (HEAD + "  /a:\n    get:\n      parameters:\n      - $ref: https://evil.example/p\n", 5, "leads out"),
        ("openapi: 3.0.3\npaths: [\n", 3, "is not YAML"),
        ("openapi: 3.0.3\n a: b: c\n", 2, "is not YAML"),
        ('{\n"openapi": "3.0.3",\n"paths": }', 3, "is not JSON"),
        (json.dumps({"openapi": "3.0.3", "paths": {"/a": {}, "b": {}}}, indent=1), 5, "must begin with /"),
    ],
)
def test_a_fault_has_file_and_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = tmp_path / "api.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as raised:
        open_document(str(path), ("*",))
    assert str(raised.value).startswith(f"{path}, line {line}: ")


@pytest.mark.parametrize("text", ["openapi: '2.0'", '{"openapi":"3.1.0","openapi":"3.0.0"}', "[]"])
def test_what_is_wrong_with_the_whole_has_no_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "api.yaml"
    path.write_text(text)
    with pytest.raises(ValueError) as raised:
        open_document(str(path), ("*",))
    assert str(raised.value).startswith(f"{path}: ")


def test_one_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_DOCUMENT_BYTES", 3)
    path = tmp_path / "api.yaml"
    path.write_text("a: b")
    with pytest.raises(ValueError, match="larger than 3 bytes"):
        open_document(str(path), ("*",))


@pytest.mark.parametrize(("keys", "line"), [((), 0), (("a",), 1), (("a", "b"), 2), (("a", "x"), 1), (("x",), 0)])
def test_the_last_key_that_is_there_gives_the_line(keys: tuple[str, ...], line: int) -> None:
    assert line_of("a:\n  b: [1]\n", keys) == line

import pytest

from mantlet.core.refusal import UnsupportedMediaType
from mantlet.policies.services.media import read


@pytest.mark.parametrize(
    ("value", "name", "is_json"),
    [
        (b"application/json", "application/json", True),
        (b"Application/JSON; charset=UTF-8", "application/json", True),
        (b'application/json;charset="utf-8"', "application/json", True),
        (b"application/merge-patch+json", "application/merge-patch+json", True),
        (b"application/jsonl", "application/jsonl", False),
        (b"text/csv; header=present; charset=latin1", "text/csv", False),
        (b'multipart/form-data; boundary="a b:c"', "multipart/form-data", False),
    ],
)
def test_a_type_has_one_reading(value: bytes, name: str, is_json: bool) -> None:
    assert read(value) == (name, is_json)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"json",
        b"application/",
        b"/json",
        b"application/json, text/plain",
        b"application/json;",
        b"application/json; charset",
        b"application/json; charset=",
        b"application/json; charset=utf-16",
        b"application/json; charset=utf-8; charset=utf-7",
        b"application/json; Charset=utf-8; charset=utf-8",
        b"application /json",
        b"application/json\x0b",
        b'text/plain; a="b',
        b'text/plain; a="b\\"',
        b"text/pl\xe4in",
        b"text/" + b"x" * 256,
    ],
)
def test_what_two_readers_could_take_for_two_types_is_refused(value: bytes | None) -> None:
    """HTTP-08"""
    with pytest.raises(UnsupportedMediaType):
        read(value)

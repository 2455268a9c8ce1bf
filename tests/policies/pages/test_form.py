"""Forms are read in one way or not at all."""

import pytest
from tests.policies.support import arrival

from mantlet.core.refusal import GrantRefused, PayloadTooLarge
from mantlet.policies.pages.form import MAX_BYTES, parameters, read_form

FORM = (b"content-type", b"application/x-www-form-urlencoded")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", {}),
        (b"a=1&b=2", {"a": "1", "b": "2"}),
        (b"a=x+y%2Bz", {"a": "x y+z"}),
        (b"a=&b", {}),
        (b"a=b=c", {"a": "b=c"}),
        (b"a=%C3%A4", {"a": "ä"}),
    ],
)
def test_a_form_is_read(text: bytes, expected: dict[str, str]) -> None:
    assert parameters(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        b"grant_type=a&grant_type=b",
        b"grant_type=a&%67rant_type=b",
        b"a=%ff",
        b"a=%00",
        b"a=x%0d%0aSet-Cookie:y",
        b"&".join(b"p%d=1" % n for n in range(33)),
    ],
)
def test_an_ambiguous_form_is_refused(text: bytes) -> None:
    """TOK-13: a parameter that stands twice would be one thing to us and another to who logs it."""
    with pytest.raises(GrantRefused) as refused:
        parameters(text)
    assert refused.value.error == "invalid_request"


@pytest.mark.parametrize("kind", [b"", b"application/json", b"multipart/form-data; boundary=x", b"text/plain"])
async def test_another_type_of_body_is_refused(kind: bytes) -> None:
    with pytest.raises(GrantRefused):
        await read_form(arrival(fields=[(b"content-type", kind)], body=b"a=1"))


async def test_parameters_in_the_query_are_refused_and_a_huge_form_too() -> None:
    """AUTHN-03: secrets in a URL end in logs."""
    asked = arrival(fields=[FORM], body=b"")
    asked.query = b"grant_type=refresh_token"
    with pytest.raises(GrantRefused):
        await read_form(asked)
    with pytest.raises(PayloadTooLarge):
        await read_form(arrival(fields=[FORM], body=b"a=" + b"x" * MAX_BYTES))

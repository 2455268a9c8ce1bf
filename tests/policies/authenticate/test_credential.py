import pytest

from mantlet.core.headers import Headers
from mantlet.core.refusal import AmbiguousCredentials, InvalidCredential, Refusal, Unauthenticated
from mantlet.policies.authenticate.credential import MAX_BYTES, check, take

BEARER = (b"authorization", b"Bearer abc.def")
KEY = (b"x-api-key", b"mk_a_b")


@pytest.mark.parametrize(
    ("fields", "credential"),
    [
        ([BEARER], b"abc.def"),
        ([KEY], b"mk_a_b"),
        ([(b"authorization", b"bearer abc")], b"abc"),
        ([(b"authorization", b"BEARER   abc==")], b"abc=="),
        ([BEARER, (b"cookie", b"theme=dark; session=1")], b"abc.def"),
        ([BEARER, (b"accept", b"a"), (b"accept", b"b")], b"abc.def"),
    ],
)
def test_a_credential_stands_in_one_header(fields: list[tuple[bytes, bytes]], credential: bytes) -> None:
    """AUTHN-03"""
    assert take(Headers(fields), b"cursor=1&tokens=5") == credential


@pytest.mark.parametrize(
    ("fields", "query", "refusal"),
    [
        ([], b"", Unauthenticated),
        ([], b"access_token=abc", Unauthenticated),
        ([], b"x=1&ACCESS_TOKEN=abc", Unauthenticated),
        ([], b"%61ccess_token=abc", Unauthenticated),
        ([], b"x=1;api_key=abc", Unauthenticated),
        ([], b"token", Unauthenticated),
        ([(b"cookie", b"a=b; access_token=abc")], b"", Unauthenticated),
        ([BEARER], b"access_token=abc", AmbiguousCredentials),
        ([KEY], b"api_key=abc", AmbiguousCredentials),
        ([BEARER, (b"cookie", b"token=abc")], b"", AmbiguousCredentials),
        ([BEARER, KEY], b"", AmbiguousCredentials),
        ([BEARER, BEARER], b"", AmbiguousCredentials),
        ([KEY, KEY], b"", AmbiguousCredentials),
        ([(b"authorization", b"Bearer a, Bearer b")], b"", AmbiguousCredentials),
        ([(b"x-api-key", b"a,b")], b"", AmbiguousCredentials),
        ([(b"authorization", b"")], b"", InvalidCredential),
        ([(b"authorization", b"Bearer")], b"", InvalidCredential),
        ([(b"authorization", b"Bearer ")], b"", InvalidCredential),
        ([(b"authorization", b"Bearerabc")], b"", InvalidCredential),
        ([(b"authorization", b"Bearer\tabc")], b"", InvalidCredential),
        ([(b"authorization", b"Bearer a b")], b"", InvalidCredential),
        ([(b"authorization", b"Basic YTpi")], b"", InvalidCredential),
        ([(b"authorization", b"abc")], b"", InvalidCredential),
        ([(b"authorization", b"Bearer a\xff")], b"", InvalidCredential),
        ([(b"authorization", b"Bearer a\x00")], b"", InvalidCredential),
        ([(b"authorization", b"Bearer " + b"a" * (MAX_BYTES + 1))], b"", InvalidCredential),
        ([(b"x-api-key", b"")], b"", InvalidCredential),
        ([(b"x-api-key", b"' OR 1=1")], b"", InvalidCredential),
        ([(b"x-api-key", b"Bearer abc")], b"", InvalidCredential),
        ([(b"proxy-authorization", b"Bearer abc")], b"", Unauthenticated),
    ],
)
def test_anything_else_is_refused_and_not_repeated(
    fields: list[tuple[bytes, bytes]], query: bytes, refusal: type[Refusal]
) -> None:
    """AUTHN-02, AUTHN-03, AUD-06"""
    with pytest.raises(refusal) as caught:
        check(take(Headers(fields), query))
    assert type(caught.value) is refusal
    assert "abc" not in caught.value.detail + caught.value.why

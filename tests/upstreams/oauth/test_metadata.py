"""What of an authorization server's metadata is believed."""

import json
from typing import Any

import pytest

from mantlet.core.refusal import BadUpstream
from mantlet.upstreams.oauth.metadata import Endpoints, read_endpoints, well_known

ISSUER = "https://login.example/tenant"
GOOD: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://pages.example/authorize",
    "token_endpoint": "https://login.example/token",
    "revocation_endpoint": "https://login.example/revoke",
    "jwks_uri": "https://login.example/keys",
    "code_challenge_methods_supported": ["plain", "S256"],
    "authorization_response_iss_parameter_supported": True,
}


def read(**changes: Any) -> Endpoints:
    document = {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}
    return read_endpoints(json.dumps(document).encode(), ISSUER)


def test_all_that_is_offered_is_found() -> None:
    """OAUTH-02"""
    assert read() == Endpoints(
        "https://login.example/token",
        "https://pages.example/authorize",
        "https://login.example/revoke",
        says_iss=True,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://login.example/tenant/"},
        {"issuer": "https://LOGIN.example/tenant"},
        {"issuer": ...},
        {"token_endpoint": "https://evil.example/token"},
        {"token_endpoint": "http://login.example/token"},
        {"token_endpoint": "https://login.example:444/token"},
        {"token_endpoint": "javascript:alert(1)"},
        {"token_endpoint": ["https://login.example/token"]},
        {"token_endpoint": ...},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://pages.example/a b"},
        {"authorization_endpoint": "https://pages.example/#x"},
        {"authorization_endpoint": "https://pages.example/\n"},
        {"revocation_endpoint": 7},
    ],
)
def test_what_is_not_the_issuers_own_word_is_refused(changes: Any) -> None:
    """OAUTH-02: a client secret goes to the issuer's origin alone."""
    with pytest.raises(BadUpstream):
        read(**changes)


@pytest.mark.parametrize("methods", [..., [], ["plain"], "S256", None, {"S256": 1}])
def test_without_s256_there_is_no_flow(methods: Any) -> None:
    """OAUTH-03"""
    assert not read(code_challenge_methods_supported=methods).authorization


def test_a_token_goes_to_be_revoked_only_where_it_came_from() -> None:
    assert not read(revocation_endpoint="https://evil.example/revoke").revocation


def test_the_operator_names_other_hosts() -> None:
    """OAUTH-02"""
    elsewhere = json.dumps({**GOOD, "token_endpoint": "https://tokens.example/t"}).encode()
    assert read_endpoints(elsewhere, ISSUER, token="https://tokens.example/t").token == "https://tokens.example/t"


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b'{"issuer":"a","issuer":"b"}', b"[" * 100_000])
def test_what_is_no_document_is_refused(body: bytes) -> None:
    with pytest.raises(BadUpstream):
        read_endpoints(body, ISSUER)


def test_where_it_is_looked_for() -> None:
    assert well_known("https://a.example") == (
        "https://a.example/.well-known/oauth-authorization-server",
        "https://a.example/.well-known/openid-configuration",
    )
    assert well_known("https://a.example/b/")[0] == "https://a.example/.well-known/oauth-authorization-server/b"

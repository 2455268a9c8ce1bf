import json

import pytest

from mantlet.policies.authenticate.issuers.discovery import (
    is_same_host,
    read_metadata,
    well_known,
    why_no_issuer,
    why_no_url,
)


@pytest.mark.parametrize(
    ("issuer", "urls"),
    [
        (
            "https://idp.example",
            [
                "https://idp.example/.well-known/oauth-authorization-server",
                "https://idp.example/.well-known/openid-configuration",
            ],
        ),
        (
            "https://idp.example:8443/realms/one/",
            [
                "https://idp.example:8443/.well-known/oauth-authorization-server/realms/one",
                "https://idp.example:8443/.well-known/openid-configuration/realms/one",
                "https://idp.example:8443/realms/one/.well-known/openid-configuration",
            ],
        ),
    ],
)
def test_where_metadata_is_looked_for(issuer: str, urls: list[str]) -> None:
    """OAUTH-02: RFC 8414 section 3.1, OpenID Connect Discovery section 4, in the order of the MCP specification."""
    assert list(well_known(issuer)) == urls


@pytest.mark.parametrize(
    ("url", "is_let"),
    [
        ("https://idp.example", True),
        ("https://idp.example:8443/x", True),
        ("http://idp.example", False),
        ("ftp://idp.example", False),
        ("idp.example", False),
        ("https://", False),
        ("https://user:secret@idp.example", False),
        ("https://idp.example:x/", False),
        ("https://idp.example/a b", False),
        ("https://idp.example\\@evil.example", False),
        ("https://ïdp.example", False),
        ("https://idp.example/\n", False),
    ],
)
def test_where_is_asked(url: str, is_let: bool) -> None:
    """OAUTH-02"""
    assert (not why_no_url(url, is_plain_allowed=False)) is is_let


def test_plain_http_is_for_development() -> None:
    assert not why_no_url("http://127.0.0.1:1/x", is_plain_allowed=True)
    assert why_no_issuer("https://idp.example?x=1", is_plain_allowed=False)
    assert why_no_issuer("https://idp.example#x", is_plain_allowed=False)


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"null", b'{"issuer": "https://a", "issuer": "https://idp.example"}', b'{"jwks_uri": "https://x"}'],
)
def test_documents_that_are_not_believed(document: bytes) -> None:
    """OAUTH-02"""
    with pytest.raises(ValueError):
        read_metadata(document, "https://idp.example", is_plain_allowed=False)


def test_unknown_members_are_passed_over() -> None:
    document = {"issuer": "https://idp.example", "jwks_uri": "https://keys.example/j", "x": [{"y": None}]}
    found = read_metadata(json.dumps(document).encode(), "https://idp.example", is_plain_allowed=False)
    assert (found.jwks_uri, found.introspection_endpoint) == ("https://keys.example/j", "")


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("https://a.example/x", "https://A.example/y", True),
        ("https://a.example", "https://a.example:8443", False),
        ("https://a.example", "http://a.example", False),
        ("https://a.example", "https://a.example.evil", False),
    ],
)
def test_hosts(one: str, other: str, is_same: bool) -> None:
    assert is_same_host(one, other) is is_same

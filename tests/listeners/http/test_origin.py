"""Host, Origin and CORS (HTTP-02, HTTP-03, HTTP-12)."""

import pytest

from mantlet.core.headers import Headers
from mantlet.core.refusal import ForbiddenOrigin, MisdirectedHost
from mantlet.listeners.http.origin import check_host, check_origin, cors_fields, is_preflight, names, preflight_fields

APP = "https://app.example"
LISTED = names(
    bind_host="192.0.2.1",
    port=8000,
    is_tls=False,
    allowed_hosts=["gw.example", "pinned.example:9000"],
    public_hosts=["Public.Example"],
    cors_origins=[APP],
)


@pytest.mark.parametrize(
    "host",
    [
        b"localhost:8000",
        b"LOCALHOST:8000",
        b"127.0.0.1:8000",
        b"[::1]:8000",
        b"192.0.2.1:8000",
        b"gw.example",
        b"gw.example:8000",
        b"pinned.example:9000",
        b"public.example",
    ],
)
def test_own_names_are_served(host: bytes) -> None:
    check_host(host, LISTED)


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example",
        b"localhost",
        b"localhost:80",
        b"localhost.",
        b"localhost.evil.example:8000",
        b"gw.example:1",
        b"pinned.example",
        b"127.0.0.2:8000",
        b"0.0.0.0:8000",
        b"xgw.example",
    ],
)
def test_foreign_names_are_misdirected(host: bytes) -> None:
    """HTTP-02"""
    with pytest.raises(MisdirectedHost):
        check_host(host, LISTED)


def test_the_default_port_may_be_left_out() -> None:
    listed = names(bind_host="0.0.0.0", port=443, is_tls=True)
    check_host(b"localhost", listed)
    check_origin(b"https://localhost", listed)
    with pytest.raises(ForbiddenOrigin):
        check_origin(b"http://localhost", listed)
    with pytest.raises(MisdirectedHost):
        check_host(b"0.0.0.0:443", listed)


@pytest.mark.parametrize(
    "origin",
    [
        b"https://app.example",
        b"http://localhost:8000",
        b"http://gw.example",
        b"https://gw.example",
        b"https://public.example",
    ],
)
def test_listed_and_own_origins_pass(origin: bytes) -> None:
    check_origin(origin, LISTED)


@pytest.mark.parametrize(
    "origin",
    [
        b"null",
        b"",
        b"http://app.example",
        b"https://app.example:444",
        b"https://app.example.evil",
        b"https://xapp.example",
        b"https://app.example/",
        b"http://localhost:3000",
        b"https://localhost:8000",
        b"file://",
        b"https://evil.example",
    ],
)
def test_other_origins_are_refused(origin: bytes) -> None:
    """HTTP-03"""
    with pytest.raises(ForbiddenOrigin):
        check_origin(origin, LISTED)


def test_cors_fields_name_exactly_the_listed_origin() -> None:
    """HTTP-12"""
    fields = dict(cors_fields(APP.encode(), LISTED))
    assert fields[b"access-control-allow-origin"] == APP.encode()
    assert b"access-control-allow-credentials" not in fields
    assert cors_fields(b"http://localhost:8000", LISTED) == []


def test_credentials_only_where_configured() -> None:
    listed = names(bind_host="::1", port=1, is_tls=False, cors_origins=[APP], cors_credentials=True)
    assert dict(cors_fields(APP.encode(), listed))[b"access-control-allow-credentials"] == b"true"


def test_any_origin_is_a_star_without_credentials_and_never_null() -> None:
    """HTTP-12"""
    listed = names(bind_host="::1", port=1, is_tls=False, cors_origins=["*"])
    check_origin(b"https://anyone.example", listed)
    assert dict(cors_fields(b"https://anyone.example", listed))[b"access-control-allow-origin"] == b"*"
    with pytest.raises(ForbiddenOrigin):
        check_origin(b"null", listed)


def preflight(method: bytes = b"POST", headers: bytes = b"content-type") -> Headers:
    return Headers(
        [
            (b"origin", APP.encode()),
            (b"access-control-request-method", method),
            (b"access-control-request-headers", headers),
        ]
    )


def test_a_preflight_is_told_what_it_may_send() -> None:
    asked = preflight(headers=b"Content-Type, Authorization,mcp-method, Mcp-Param-Region")
    assert is_preflight("OPTIONS", asked)
    fields = dict(preflight_fields(asked, LISTED))
    assert fields[b"access-control-allow-headers"] == b"content-type, authorization, mcp-method, mcp-param-region"
    assert b"POST" in fields[b"access-control-allow-methods"]


@pytest.mark.parametrize(
    "asked",
    [
        preflight(method=b"TRACE"),
        preflight(method=b"post"),
        preflight(headers=b"x-forwarded-for"),
        preflight(headers=b"cookie"),
        preflight(headers=b"mcp-param-a b"),
        preflight(headers=b"accept," * 65),
    ],
)
def test_a_preflight_that_asks_for_more_is_denied(asked: Headers) -> None:
    """HTTP-12"""
    with pytest.raises(ForbiddenOrigin):
        preflight_fields(asked, LISTED)

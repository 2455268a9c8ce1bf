import pytest

from mantlet.core.headers import Headers
from mantlet.core.refusal import Malformed
from mantlet.upstreams.transports.service.fields import Passed, check_passed

HOSTILE = [
    b"authorization",
    b"cookie",
    b"x-api-key",
    b"host",
    b"connection",
    b"keep-alive",
    b"proxy-authorization",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"content-length",
    b"content-encoding",
    b"accept-encoding",
    b"expect",
    b"forwarded",
    b"via",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x_forwarded_for",
    b"x-real-ip",
    b"x-auth-type",
    b"x-auth-user",
    b"x_auth_user",
    b"x-forwarded-user-id",
    b"x-original-url",
    b"x-http-method-override",
    b"x-request-id",
    b"x-anything",
    b"if_match",
    b"dpop",
    b"mcp-session-id",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_listed_stays_out(name: bytes) -> None:
    """HTTP-09, FWD-01, FWD-03"""
    assert Passed().request_lines(Headers([(name, b"1"), (b"accept", b"*/*")])) == b"accept: */*\r\n"


def test_listed_fields_pass_as_often_as_they_stand() -> None:
    headers = Headers([(b"accept", b"a/b"), (b"x-trace", b"1"), (b"accept", b"c/d")])
    assert Passed(["X-Trace"]).request_lines(headers) == b"accept: a/b\r\nx-trace: 1\r\naccept: c/d\r\n"


def test_a_field_of_the_nodes_own_has_no_twin() -> None:
    """FWD-03"""
    headers = Headers([(b"x-tenant", b"theirs"), (b"prefer", b"x")])
    assert Passed(["X-Tenant"], own=["X-TENANT"]).request_lines(headers) == b"prefer: x\r\n"


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nb", b"a\0b"])
def test_a_line_end_in_a_value_is_refused(value: bytes) -> None:
    """FWD-03"""
    with pytest.raises(Malformed):
        Passed().request_lines(Headers([(b"accept", value)]))


def test_of_an_answer_too_only_what_is_listed_passes() -> None:
    """FWD-05"""
    theirs = [b"set-cookie", b"www-authenticate", b"server", b"location", b"content-security-policy", b"x-other",
              b"cache-control", b"clear-site-data", b"access-control-allow-origin", b"x-ratelimit-limit"]  # fmt: skip
    headers = Headers([(name, b"1") for name in theirs] + [(b"etag", b'"e"'), (b"x-took", b"3")])
    assert Passed().response_fields(headers) == [(b"etag", b'"e"')]
    assert Passed((), ["X-Took", "Cache-Control"]).response_fields(headers) == [
        (b"cache-control", b"1"),
        (b"etag", b'"e"'),
        (b"x-took", b"3"),
    ]


@pytest.mark.parametrize("name", [name.decode() for name in HOSTILE if name not in (b"x-anything",)])
def test_no_configuration_lists_what_others_rely_on(name: str) -> None:
    """HTTP-09, FWD-01"""
    if name == "if_match" or "_" in name:
        pass  # an underscore is none of our hyphens, and some servers take it for one
    with pytest.raises(ValueError, match="is never passed on"):
        check_passed([name], [])
    with pytest.raises(ValueError, match="is never passed on"):
        check_passed([], [name.title()])


@pytest.mark.parametrize("name", ["X-Accel-Redirect", "X-Sendfile", "x-reproxy-url"])
def test_no_service_tells_a_proxy_before_the_node_what_to_send(name: str) -> None:
    """FWD-05"""
    with pytest.raises(ValueError, match="is never passed on"):
        check_passed([], [name])


def test_ordinary_fields_can_be_listed() -> None:
    check_passed(["X-Tenant", "Accept-Charset"], ["X-Took", "Link", "Cache-Control"])

import msgspec
import pytest

from mantlet.upstreams.transports.service.config import ServiceConfig


def test_it_is_served_under_its_name_unless_told_otherwise() -> None:
    assert ServiceConfig(name="dfs", url="https://h").root == "/api/dfs"
    assert ServiceConfig(name="dfs", url="https://h", prefix="/api/v2/files").root == "/api/v2/files"


@pytest.mark.parametrize(
    "prefix", ["/mcp", "/api", "/api/", "/api/x/", "/x", "api/x", "/api//x", "/api/../x", "/api/a%20b", "/api/a;b", ""]
)
def test_it_is_served_below_api_and_nowhere_else(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix: must begin"):
        ServiceConfig(name="dfs", url="https://h", prefix=prefix)


@pytest.mark.parametrize(
    "section",
    [
        {"name": "a b"},
        {"name": ""},
        {"methods": []},
        {"methods": ["TRACE"]},
        {"methods": ["get"]},
        {"content_types": ["json"]},
        {"content_types": ["*/*"]},
        {"content_types": ["Text/CSV"]},
        {"headers": {"Host": "x"}},
        {"headers": {"Content-Length": "1"}},
        {"request_headers": ["Authorization"]},
        {"request_headers": ["X_Tenant"]},
        {"response_headers": ["Set-Cookie"]},
        {"redirects": "follow"},
        {"max_body_bytes": 0},
        {"timeout": 0},
        {"unknown": 1},
    ],
)
def test_what_cannot_be_meant_is_refused(section: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(
            {"name": "x", "url": "https://h", **section}, ServiceConfig, dec_hook=lambda kind, value: kind(value)
        )

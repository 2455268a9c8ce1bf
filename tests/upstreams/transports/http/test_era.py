"""Outcomes of probes (2026-07-28, transports/streamable-http, "Backward Compatibility")."""

from typing import Any

import pytest

from mantlet.upstreams.transports.http.era import read_discover, read_initialize


def error(code: int, **data: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": "x", "error": {"code": code, "message": "m"} | ({"data": data} if data else {})}


def result(**members: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": "x", "result": members}


@pytest.mark.parametrize(
    ("status", "message", "eras"),
    [
        (200, result(supportedVersions=["2026-07-28"]), {"modern"}),
        (200, result(supportedVersions=["2026-07-28", "2025-06-18"]), {"modern", "legacy"}),
        (200, result(supportedVersions=["2099-01-01"]), set()),
        (200, result(supportedVersions="2026-07-28"), set()),
        (200, result(), set()),
        (400, error(-32022, supported=["2025-11-25"], requested="2026-07-28"), {"legacy"}),
        (400, error(-32022, supported=["2099-01-01"]), set()),
        (400, error(-32020), {"modern"}),
        (400, error(-32021), {"modern"}),
        (404, error(-32601), {"modern"}),
        (200, error(-32601), set()),
        (400, error(-32600), set()),
        (400, None, set()),
        (404, None, set()),
        (405, None, set()),
        (400, [], set()),
        (400, {"error": "text"}, set()),
        (401, error(-32020), None),
        (403, None, None),
        (307, None, None),
        (429, None, None),
        (500, None, None),
        (503, error(-32022, supported=["2025-11-25"]), None),
    ],
)
def test_discover(status: int, message: Any, eras: set[str] | None) -> None:
    found = read_discover(status, message)
    assert (None if found is None else found.eras) == eras


@pytest.mark.parametrize(
    ("status", "message", "eras"),
    [
        (200, result(protocolVersion="2025-11-25"), {"legacy"}),
        (200, result(protocolVersion="2024-11-05"), {"legacy"}),
        (200, result(protocolVersion="2026-07-28"), set()),
        (200, result(protocolVersion=["2025-11-25"]), set()),
        (200, error(-32601), set()),
        (400, error(-32022, supported=["2026-07-28"]), set()),
        (404, None, set()),
        (500, None, None),
        (401, None, None),
    ],
)
def test_initialize(status: int, message: Any, eras: set[str] | None) -> None:
    found = read_initialize(status, message)
    assert (None if found is None else found.eras) == eras

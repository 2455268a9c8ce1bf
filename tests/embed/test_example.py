"""The program in docs/forwarding.md, as it stands there."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from mantlet.core.secret import Secret
from mantlet.keys.forwarded import derive, sealer_with
from mantlet.wire.forwarded import request_digest

PAGE = Path(__file__).parents[2] / "docs" / "forwarding.md"
KEY = derive(Secret("m7Qx2vR9tK4wZ8nB1cY5hJ0pL3sD6fGa"), "planner")


@pytest.mark.parametrize(("name", "status"), [("https://planner.internal", 200), ("https://writer.internal", 401)])
async def test_the_program_in_the_docs_runs(monkeypatch: pytest.MonkeyPatch, name: str, status: int) -> None:
    """FWD-02"""
    monkeypatch.setenv("PLANNER_KEY", KEY.reveal())
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    module: dict[str, Any] = {}
    exec(code, module)  # our own page
    now = int(time.time())
    token = sealer_with(KEY)(
        {
            "iss": "https://gateway.example.com",
            "aud": name,
            "sub": "https://idp.example.com#alice",
            "sub_id": {"format": "iss_sub", "iss": "https://idp.example.com", "sub": "alice"},
            "tenant": "default",
            "kind": "user",
            "act": {"sub": "edge-1"},
            "iat": now,
            "exp": now + 60,
            "jti": "1",
            "env": "production",
            "req": request_digest(b"GET", b"/", b""),
        }
    )
    scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"",
             "headers": [(b"authorization", b"Bearer " + token.encode())]}  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await module["application"](scope, receive, send)
    assert sent[0]["status"] == status
    if status == 200:
        assert sent[1]["body"] == b"alice of https://idp.example.com, through edge-1"

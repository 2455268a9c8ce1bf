"""The programs in docs/library.md, as they stand there."""

import os
import re
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mantlet.embed import MantletMiddleware

PAGE = (Path(__file__).parents[2] / "docs" / "library.md").read_text()
PROGRAMS = re.findall(
    r"^```python\n((?:(?!^```).)*)^```$\n\nprints\n\n```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
)


def test_every_program_but_the_application_says_what_it_prints() -> None:
    assert len(PROGRAMS) == PAGE.count("```python") - 1 == 6


@pytest.mark.parametrize(
    ("program", "printed"), PROGRAMS, ids=["limits", "cache", "breakers", "tools", "client", "audit"]
)
def test_a_program_prints_what_the_page_says(program: str, printed: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False
    )
    assert (done.stdout, done.returncode) == (printed, 0), done.stderr


def test_a_trail_of_a_program_is_proved_by_the_same_command(tmp_path: Path) -> None:
    """AUD-03, AUD-07"""
    program = next(program for program, _ in PROGRAMS if "AuditTrail" in program)
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True)
    verify = [sys.executable, "-m", "mantlet", "events", "verify", "--path", "var/audit"]
    assert subprocess.run(verify, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    (file,) = (tmp_path / "var" / "audit").glob("*.jsonl")
    file.write_text(file.read_text().replace("12.50", "99.50", 1))
    assert subprocess.run(verify, cwd=tmp_path, capture_output=True, check=False).returncode == 1


@pytest.fixture
async def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx2.AsyncClient]:
    monkeypatch.chdir(tmp_path)
    key = secrets.token_urlsafe(40)
    (tmp_path / "alice.key").touch(0o600)
    (tmp_path / "alice.key").write_text(key)
    (program,) = re.findall(r"^```python\n((?:(?!^```).)*?MantletMiddleware.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    page: dict[str, Any] = {}
    exec(compile(program, "docs/library.md", "exec", dont_inherit=True), page)  # our own page
    app = page["app"]
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app=app)
        base = "http://localhost"
        async with httpx2.AsyncClient(transport=transport, base_url=base, headers={"X-API-Key": key}) as opened:
            yield opened
        layer = app.middleware_stack
        while not isinstance(layer, MantletMiddleware):
            layer = layer.app
        await layer.close()


async def test_the_application_is_asked_for_those_who_may(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/reports/7")
    assert (answer.status_code, answer.json()) == (200, {"number": 7, "for": "alice"})
    assert (await client.delete("/reports/7")).status_code == 403
    assert (await client.get("/docs")).status_code == 403
    stranger = await client.get("/reports/7", headers={"X-API-Key": "no"})
    assert stranger.status_code == 401
    assert "www-authenticate" in stranger.headers


def test_names_come_without_what_they_do_not_need() -> None:
    code = (
        "import sys; from mantlet.embed import CircuitBreaker, RateLimiter; RateLimiter(); "
        "print(*sorted({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))"
    )
    environ = {**os.environ, "PYTHONNOUSERSITE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True)
    names = {name for name in done.stdout.split() if not name.startswith("_")} - {"cython_runtime"}
    assert names <= {"mantlet", "msgspec", "typing_extensions"}

"""`mantlet login` at a node that is its own issuer: real HTTP, a user who says yes in a browser of their own."""

import asyncio
import json
import re
import urllib.request
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from bench.rig.process import free_port
from tests.attacks.house import House, open_house
from tests.attacks.issuing import Browser
from typer.testing import CliRunner

from mantlet.cli.app import app
from mantlet.keys.signing import make_signing_key
from mantlet.ops.login import session
from mantlet.ops.login.asking import LoginError
from mantlet.ops.login.kept import Logins
from mantlet.ops.login.session import Person, Wanted, access, log_in, log_out


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    make_signing_key(tmp_path / "jwt.pem")
    auth = {"jwt": {"key_file": str(tmp_path / "jwt.pem"), "issuer": url}, "server": {"device": {"interval": 1}}}
    async with open_house(tmp_path, http={"port": port}, agent={"url": url}, auth=auth) as opened:
        yield opened


def url_of(house: House) -> str:
    return f"http://127.0.0.1:{house.calls.port}"


class User:
    """Says yes as soon as they are asked, on a page that they open themselves."""

    def __init__(self, house: House, decision: str = "allow") -> None:
        self._house, self._decision = house, decision
        self._loop = asyncio.get_running_loop()
        self.seen: list[str] = []

    @property
    def person(self) -> Person:
        return Person(self._code, self._url, sleep=lambda _: None)

    def _code(self, url: str, code: str, complete: str) -> None:
        self.seen.append(code)
        assert url == f"{url_of(self._house)}/oauth/device"
        assert code in complete
        self._wait(self._enter(code))

    def _url(self, url: str) -> None:
        location = self._wait(self._allow(url))
        with urllib.request.urlopen(location, timeout=10) as answer:
            assert b"close this page" in answer.read()

    async def _enter(self, code: str) -> None:
        browser = Browser(self._house)
        assert (await browser.post("/oauth/device", user_code=code)).status == 200
        await browser.decide("/oauth/device", self._house.keys["alice"], self._decision)

    async def _allow(self, url: str) -> str:
        browser = Browser(self._house)
        parts = urlsplit(url)
        page = await browser.get(f"{parts.path}?{parts.query}")
        assert page.status == 200, page.body
        answer = await browser.decide("/oauth/authorize", self._house.keys["alice"], self._decision)
        return answer.headers["location"]

    def _wait(self, work: Any) -> Any:
        # The command line blocks in a thread of its own, and its user clicks on the loop.
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


@pytest.mark.parametrize("flow", ["device", "browser", "auto"])
async def test_a_user_logs_in_and_calls(house: House, tmp_path: Path, flow: str) -> None:
    """OAUTH-03, OAUTH-06, TOK-13: nothing of what was given stands readable on the disk."""
    logins = Logins(tmp_path / "logins")
    user = User(house)
    if flow == "browser":
        kept = await _with_browser(house, user, logins)
    else:
        kept = await asyncio.to_thread(log_in, Wanted(url_of(house), flow=flow), logins, user.person)
    assert (kept.subject, kept.issuer, kept.client_id) == ("alice", url_of(house), "mantlet")
    token = await asyncio.to_thread(access, url_of(house), logins)
    assert token is not None
    assert (await house.call(credential=token.reveal())).status == 200
    written = b"".join(file.read_bytes() for file in (tmp_path / "logins").iterdir())
    for secret in (token.reveal(), kept.refresh_token, "alice"):
        assert secret.encode() not in written
    assert all(file.stat().st_mode & 0o077 == 0 for file in (tmp_path / "logins").glob("*.login"))


async def _with_browser(house: House, user: User, logins: Logins) -> Any:
    def show(url: str) -> None:
        Thread(target=user._url, args=(url,), daemon=True).start()

    person = Person(user._code, show)
    return await asyncio.to_thread(log_in, Wanted(url_of(house), flow="browser"), logins, person)


async def test_a_token_is_refreshed_before_it_expires_and_by_one_process_at_a_time(
    house: House, tmp_path: Path
) -> None:
    """TOK-13: two that refreshed with one token would look like a thief."""
    logins = Logins(tmp_path / "logins")
    kept = await asyncio.to_thread(log_in, Wanted(url_of(house)), logins, User(house).person)

    def later() -> float:
        return kept.expires_at_s - 30.0

    # Threads of their own: the node's work in threads must not wait for those who wait for the node.
    with ThreadPoolExecutor(6) as pool:
        running = asyncio.get_running_loop()
        tokens = await asyncio.gather(
            *(
                running.run_in_executor(pool, access, url_of(house), Logins(tmp_path / "logins"), later)
                for _ in range(6)
            )
        )
    assert all(token is not None and token.reveal() != kept.access_token for token in tokens)
    assert len({token.reveal() for token in tokens if token}) >= 1
    for token in tokens:
        assert token is not None
        assert (await house.call(credential=token.reveal())).status == 200, "the login was not ended as stolen"


async def test_who_says_no_and_who_logs_out_is_logged_out(house: House, tmp_path: Path) -> None:
    logins = Logins(tmp_path / "logins")
    with pytest.raises(LoginError) as refused:
        await asyncio.to_thread(log_in, Wanted(url_of(house)), logins, User(house, "deny").person)
    assert refused.value.error == "access_denied"
    assert logins.find(url_of(house)) is None
    kept = await asyncio.to_thread(log_in, Wanted(url_of(house)), logins, User(house).person)
    assert await asyncio.to_thread(log_out, url_of(house), logins)
    assert not await asyncio.to_thread(log_out, url_of(house), logins)
    assert (await house.call(credential=kept.access_token)).status == 401


async def test_a_login_opens_for_its_node_alone(house: House, tmp_path: Path) -> None:
    """OAUTH-02: sealed files put in another's place are worthless."""
    logins = Logins(tmp_path / "logins")
    await asyncio.to_thread(log_in, Wanted(url_of(house)), logins, User(house).person)
    assert access("http://127.0.0.1:1", logins) is None
    (file,) = (tmp_path / "logins").glob("*.login")
    file.rename(logins._file("http://127.0.0.1:1"))
    with pytest.raises(Exception, match="does not open"):
        access("http://127.0.0.1:1", logins)


async def test_the_commands(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANTLET_LOGINS", str(tmp_path / "logins"))
    user = User(house)
    monkeypatch.setattr("mantlet.cli.login._show_code", user._code)
    monkeypatch.setattr(session, "Person", lambda code, url: Person(code, url, sleep=lambda _: None))
    run: Callable[..., Any] = CliRunner().invoke
    there = ["--url", url_of(house)]
    before = await asyncio.to_thread(run, app, ["tools", "--login", *there])
    assert before.exit_code != 0
    told = await asyncio.to_thread(run, app, ["login", "--json", *there])
    assert told.exit_code == 0, told.output
    assert json.loads(re.search(r"\{.*\}", told.stdout, re.DOTALL)[0])["subject"] == "alice"  # type: ignore[index]
    found = await asyncio.to_thread(run, app, ["tools", "--login", "--json", "--server", "one", *there])
    assert found.exit_code == 0, found.output
    assert "echo" in found.stdout
    called = await asyncio.to_thread(run, app, ["call", "echo", "a=1", "--login", "--server", "one", *there])
    assert called.exit_code == 0, called.output
    assert (await asyncio.to_thread(run, app, ["logout", *there])).exit_code == 0

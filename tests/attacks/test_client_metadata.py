"""Clients whose id is a URL: a stranger, who has shown nothing yet, chooses where the node looks."""

import asyncio
import contextlib
import datetime
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.attacks.house import Answer, House, open_house
from tests.attacks.issuing import AUDIENCE, ISSUER

from mantlet.keys.certificates import make_authority, make_server
from mantlet.keys.signing import make_signing_key
from mantlet.policies.authorization_server.code import challenge_of
from mantlet.upstreams.egress import guard

BACK = "https://app.example/back"


@dataclass
class Place:
    """A server by HTTPS that counts who connects, and answers with a document that names whatever it is asked for."""

    host: str = "127.0.0.1"
    port: int = 0
    connections: int = 0
    paths: list[str] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            host = next(one for one in lines if one.lower().startswith("host:")).partition(": ")[2]
            self.paths.append(path := line.split()[1])
            document = {"client_id": f"https://{host}{path}", "client_name": "App", "redirect_uris": [BACK]}
            body = json.dumps(document).encode()
            where = f"Location: {self.redirects[path]}\r\n" if path in self.redirects else ""
            status = "302 Found" if where else "200 OK"
            head = f"HTTP/1.1 {status}\r\n{where}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        writer.close()


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """TLS of places that the node believes, so that nothing but the guard keeps it from them."""
    now = datetime.datetime.now(datetime.UTC)
    authority = make_authority("test", 2, now)
    made = make_server(authority, ["127.0.0.1", "127.0.0.2", "localhost", "app.example"], 1, now)
    for name, text in (("ca.pem", authority.certificate), ("own.pem", made.certificate), ("own.key", made.key)):
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "own.pem", tmp_path / "own.key")
    return context


@contextlib.asynccontextmanager
async def served(context: ssl.SSLContext, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Place]:
    place = Place(host)
    server = await asyncio.start_server(place.accept, host, port, ssl=context)
    place.port = server.sockets[0].getsockname()[1]
    try:
        yield place
    finally:
        server.close()


@contextlib.asynccontextmanager
async def house_of(folder: Path, allow: Sequence[str] = (), **more: Any) -> AsyncIterator[House]:
    make_signing_key(folder / "jwt.pem")
    own = {"key_file": str(folder / "jwt.pem"), "issuer": ISSUER, "audience": AUDIENCE}
    server = {"client_metadata": {"enabled": True}}
    async with open_house(
        folder, auth={"jwt": own, "server": server}, agent={"url": ISSUER}, egress={"allow": list(allow)}, **more
    ) as house:
        yield house


async def ask(house: House, client_id: str) -> Answer:
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": BACK,
        "code_challenge": challenge_of("v" * 43),
        "code_challenge_method": "S256",
        "state": "s",
    }
    return await house.ask("GET", f"/oauth/authorize?{urlencode(query)}")


def is_refused(answer: Answer) -> bool:
    return answer.status in (400, 401) and "location" not in answer.headers and b"ticket" not in answer.body


async def test_nothing_inside_is_asked_for_a_stranger(tmp_path: Path, inside: ssl.SSLContext) -> None:
    """EGR-01, EGR-02: not even where the configuration itself sends calls: its word is not for whoever comes along."""
    async with served(inside) as place:
        service = {"name": "inner", "url": f"https://127.0.0.1:{place.port}"}
        async with house_of(tmp_path, http_upstreams=[service]) as house:
            hosts = [
                "127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "127.1", "2130706433", "0x7f.1", "0.0.0.0",
                "127.0.0.1.", "169.254.169.254", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "10.0.0.1",
            ]  # fmt: skip
            answers = [await ask(house, f"https://{host}:{place.port}/client.json") for host in hosts]
            assert all(map(is_refused, answers)), [answer.status for answer in answers]
            assert place.connections == 0
            # What is refused, what is not there and what is no URL of a document look alike: nothing is found out here.
            nowhere = await ask(house, "https://nowhere.invalid/client.json")
            assert {(one.status, one.body) for one in [*answers, nowhere]} == {(nowhere.status, nowhere.body)}
            refused = [line for line in house.audit() if line["event"] == "egress.refused"]
            assert {line["object"] for line in refused} >= {f"127.0.0.1:{place.port}", f"localhost:{place.port}"}


async def test_a_client_that_may_be_reached_is_shown_with_its_own_words(tmp_path: Path, inside: ssl.SSLContext) -> None:
    """OAUTH-04, EGR-01: and what `egress.allow` names may be reached; the others above fail for want of just that."""
    async with served(inside) as place, house_of(tmp_path, ["127.0.0.1"]) as house:
        page = await ask(house, f"https://127.0.0.1:{place.port}/client.json")
        assert (page.status, place.paths) == (200, ["/client.json"])
        assert f"App (as 127.0.0.1:{place.port} calls it)".encode() in page.body


async def test_a_redirect_leads_nowhere_else(tmp_path: Path, inside: ssl.SSLContext) -> None:
    """EGR-01: not to another origin, though it may be reached itself."""
    async with served(inside) as place, served(inside) as other, house_of(tmp_path, ["127.0.0.1"]) as house:
        there = f"https://127.0.0.1:{other.port}/client.json"
        place.redirects = {
            "/away": there,
            "/plain": there.replace("https", "http"),
            "/meta": "https://169.254.169.254/",
        }
        for path in place.redirects:
            assert is_refused(await ask(house, f"https://127.0.0.1:{place.port}{path}"))
        assert other.connections == 0
        assert place.paths == list(place.redirects)


async def test_a_name_that_changes_its_address_is_judged_by_the_one_that_is_used(
    tmp_path: Path, inside: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EGR-01: re-binding: the address that was checked is the one that is connected to."""
    answers = [["127.0.0.2"], ["127.0.0.1"]]
    asked: list[str] = []

    async def lookup(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    monkeypatch.setattr(guard, "system_lookup", lookup)
    monkeypatch.setattr(guard, "KNOWN_S", 0.0)
    async with served(inside, "127.0.0.2") as outer, served(inside, port=outer.port) as inner:
        async with house_of(tmp_path, ["127.0.0.2"]) as house:
            at = f"https://app.example:{outer.port}"
            assert (await ask(house, f"{at}/first.json")).status == 200
            assert (outer.connections, inner.connections, asked) == (1, 0, ["app.example"])
            assert is_refused(await ask(house, f"{at}/second.json"))  # now the name leads inside
            answers.append(["127.0.0.2", "127.0.0.1"])
            assert is_refused(await ask(house, f"{at}/third.json"))  # and one bad address condemns it
            assert inner.connections == 0

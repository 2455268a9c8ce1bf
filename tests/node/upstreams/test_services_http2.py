"""Plain HTTP services through the TLS door, by HTTP/2 and by curl: what passes and what does not is the same."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from tests.attacks.house import House, open_house
from tests.servers.plain import Plain, served

from mantlet.ops import certs

PATIENCE_S = 10.0
BYTES = {"Content-Type": "application/octet-stream"}


@pytest.fixture
async def plain() -> AsyncIterator[Plain]:
    async with served() as service:
        yield service


@pytest.fixture
async def house(tmp_path: Path, plain: Plain) -> AsyncIterator[House]:
    folder = tmp_path / "certs"
    certs.authority(folder, "Test", 30)
    certs.server(folder, "server", ["localhost"], 20)
    tls = {"cert_file": str(folder / "server.pem"), "key_file": str(folder / "server.key")}
    service = {"name": "plain", "url": f"{plain.url}/base", "max_body_bytes": 64_000_000,
               "content_types": ["application/json", "application/octet-stream"]}  # fmt: skip
    http = {"port": 0, "tls": tls, "http2": True, "allowed_hosts": ["localhost"]}
    async with open_house(tmp_path, servers=0, http=http, http_upstreams=[service]) as opened:
        yield opened


@pytest.fixture
async def client(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    trusting = ssl.create_default_context(cafile=house.folder / "certs" / "ca.pem")
    async with (
        httpx2.AsyncClient(
            base_url=f"https://localhost:{house.calls.port}/api/plain",
            verify=trusting,
            http2=True,
            trust_env=False,
            headers={"Authorization": f"Bearer {house.keys['alice']}"},
        ) as opened,
        asyncio.timeout(PATIENCE_S),
    ):
        yield opened


async def test_every_verb_passes(client: httpx2.AsyncClient, plain: Plain) -> None:
    for verb in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        body = b'{"a":1}' if verb != "GET" else None
        kind = {"Content-Type": "application/json"} if body else {}
        answer = await client.request(verb, "/echo/a%20b?x=%2F", content=body, headers=kind)
        said = answer.json()
        assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
        assert (said["verb"], said["raw_path"], said["query"], said["size"]) == (
            verb, "/base/echo/a%20b", "x=%2F", len(body or b""),
        )  # fmt: skip
    head = await client.head("/status?code=200&etag=e")
    assert (head.headers["content-length"], head.headers["etag"], head.content) == ("4", "e", b"")
    assert "authorization" not in dict(plain.requests[-1]["headers"])


async def test_uploads_and_answers_flow(client: httpx2.AsyncClient, plain: Plain) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        await plain.has_received(1000)
        yield b"y" * 1000

    said = (await client.post("/echo", content=parts(), headers=BYTES)).json()
    assert said["size"] == 2000
    assert dict(said["headers"])["transfer-encoding"] == "chunked"
    said = (await client.post("/echo", content=b"z" * 5_000_000, headers=BYTES)).json()
    assert (said["size"], dict(said["headers"])["content-length"]) == (5_000_000, "5000000")
    async with client.stream("GET", "/drip?length=12") as answer:
        chunks = answer.aiter_raw()
        assert (answer.headers["content-length"], await anext(chunks)) == ("12", b"first;")
        plain.release.set()
        assert b"".join([chunk async for chunk in chunks]) == b"second"
    async with client.stream("GET", "/flood?size=8000000") as answer:
        assert sum([len(chunk) async for chunk in answer.aiter_raw()]) == 8_000_000


async def test_who_leaves_cancels_the_work(client: httpx2.AsyncClient, plain: Plain) -> None:
    """RES-03"""
    async with client.stream("GET", "/stream") as answer:
        assert await anext(answer.aiter_raw()) == b"data: 1\n\n"
        await client.aclose()  # this client resets no stream; it can only hang up
    await asyncio.wait_for(plain.gone.wait(), PATIENCE_S)


@pytest.mark.parametrize(
    ("verb", "path", "body", "kind", "status", "reason"),
    [
        ("GET", "/%2e%2e/x", None, "", 400, "malformed"),
        ("GET", "/a%2fb", None, "", 400, "malformed"),
        ("GET", "/a;b", None, "", 400, "malformed"),
        ("GET", "/x?a=%00", None, "", 400, "malformed"),
        ("OPTIONS", "/echo", None, "", 405, "method_not_allowed"),
        ("TRACE", "/echo", None, "", 405, "method_not_allowed"),
        ("GET", "/echo", b"{}", "application/json", 400, "invalid_request"),
        ("POST", "/echo", b'{"a":1,"a":2}', "application/json", 400, "invalid_json"),
        ("POST", "/echo", b"x", "text/plain", 415, "unsupported_media_type"),
        ("POST", "/echo", b"x", "", 415, "unsupported_media_type"),
        ("GET", "/status?code=401", None, "", 502, "bad_upstream"),
        ("GET", "/status?code=302&location=/base/x", None, "", 502, "bad_upstream"),
    ],
)
async def test_what_does_not_pass_is_the_same(
    client: httpx2.AsyncClient, verb: str, path: str, body: bytes | None, kind: str, status: int, reason: str
) -> None:
    """HTTP-08, HTTP-10, FWD-05, VAL-01"""
    url = httpx2.URL(str(client.base_url)).copy_with(raw_path=b"/api/plain" + path.encode())
    answer = await client.request(verb, url, content=body, headers={"Content-Type": kind} if kind else {})
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("version", ["--http2", "--http1.1"])
async def test_curl_gets_what_it_asks_for(house: House, plain: Plain, version: str, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    plain.release.set()
    sent, got = tmp_path / "sent", tmp_path / "got"
    sent.write_bytes(b"x" * 3_000_000)

    async def run(path: str, *more: str) -> str:
        program = await asyncio.create_subprocess_exec(
            curl, "-sS", version, "--cacert", str(house.folder / "certs" / "ca.pem"), "-o", str(got),
            "-w", "%{http_code} %{http_version} %{size_download}", "-H", f"Authorization: Bearer {house.keys['alice']}",
            *more, f"https://localhost:{house.calls.port}/api/plain{path}", stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await program.communicate()
        assert program.returncode == 0
        return out.decode()

    number = "2" if version == "--http2" else "1.1"
    async with asyncio.timeout(PATIENCE_S):
        assert await run("/drip") == f"200 {number} 12"
        upload = ("-T", str(sent), "-H", "Content-Type: application/octet-stream")
        assert (await run("/echo", *upload)).startswith(f"200 {number} ")
        assert b'"size": 3000000' in got.read_bytes()
        assert (await run("/echo", *upload, "-H", "Transfer-Encoding: chunked")).startswith("200 ")
        assert (await run("/echo", "-H", "Cookie: a=b", "--compressed", "-H", "X-Forwarded-For: 1")).startswith("200 ")
        said = got.read_text()
        assert "cookie" not in said
        assert "x-forwarded-for" not in said
        assert "gzip" not in said

"""TLS-02, TLS-04: revocation lists of servers, by real handshakes, renewed while a server is spoken to."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.servers.pki import DAY, NOW, Authority, Signed, pem

from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.refusal import BadUpstream
from mantlet.upstreams.client import HttpClient, TlsConfig, head, parse, prefix
from mantlet.upstreams.client.tls import context
from mantlet.upstreams.client.trust import LOOK_S
from mantlet.upstreams.transports.dialer import Dialer


class House:
    """A hierarchy, a server of its lower authority, and a client whose clock the test sets."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, Authority.root()
        self.below = self.root.below()
        self.server = self.below.leaf(is_client=False)
        (folder / "ca.pem").write_text(pem(self.root.certificate))
        self.revoke()
        self.ahead_s = 0.0
        self.connections = 0
        self.answering = asyncio.Event()
        self.answering.set()
        self.asked = asyncio.Event()

    def revoke(self, *revoked: Signed, **more: Any) -> None:
        self.put(self.root.crl() + self.below.crl(*revoked, **more))

    def put(self, text: str) -> None:
        draft = self.folder / "draft"
        draft.write_text(text)
        draft.replace(self.folder / "ca.crl")
        self.ahead_s = getattr(self, "ahead_s", 0.0) + LOOK_S

    def tls(self, **more: Any) -> TlsConfig:
        return TlsConfig(ca_file=str(self.folder / "ca.pem"), crl_file=str(self.folder / "ca.crl"), **more)

    @asynccontextmanager
    async def client(self, http2: bool = False, **more: Any) -> AsyncIterator[HttpClient]:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.server.write(self.folder, "server", self.below)["cert_file"])
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0, ssl=made)
        clock = Clock(lambda: SYSTEM.monotonic() + self.ahead_s, SYSTEM.wall)
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        client = HttpClient(parse(url, is_plain_allowed=False), clock, tls=self.tls(**more), http2=http2)
        try:
            yield client
        finally:
            await client.close()
            server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.asked.set()
                await self.answering.wait()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def ask(self, client: HttpClient) -> object:
        message = head(prefix(b"GET", b"/", client.endpoint.authority, []), [], None)
        return (await client.send(message, deadline_s=time.monotonic() + self.ahead_s + 10)).body


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.mark.parametrize("http2", [False, True])
async def test_a_server_that_is_revoked_hears_nothing_more_also_on_open_connections(house: House, http2: bool) -> None:
    async with house.client(http2=http2) as client:
        assert await house.ask(client) == b"ok"
        assert await house.ask(client) == b"ok"
        house.revoke(house.server)
        with pytest.raises(BadUpstream, match="not acceptable: certificate revoked"):
            await house.ask(client)
        house.revoke()
        assert await house.ask(client) == b"ok"


async def test_a_call_under_way_ends_well_and_its_connection_is_not_used_again(house: House) -> None:
    async with house.client() as client:
        house.answering.clear()
        under_way = asyncio.create_task(house.ask(client))
        await house.asked.wait()
        house.revoke(house.server)
        with pytest.raises(BadUpstream, match="revoked"):
            await house.ask(client)
        house.answering.set()
        assert await under_way == b"ok"
        with pytest.raises(BadUpstream, match="revoked"):
            await house.ask(client)
        assert client.pool.open == 0


async def test_a_list_without_news_costs_one_connection_anew(house: House) -> None:
    async with house.client() as client:
        await house.ask(client)
        house.revoke()
        assert [await house.ask(client) for _ in range(3)] == [b"ok"] * 3
        assert house.connections == 2


@pytest.mark.parametrize(
    ("more", "check", "why"),
    [
        ({"ends": NOW - DAY / 2}, "chain", "CRL has expired"),
        ({"begins": NOW + DAY / 2}, "chain", "CRL is not yet valid"),
        ({"by": Authority.root()}, "chain", "CRL signature failure"),
        (None, "chain", "unable to get certificate CRL"),
        (None, "leaf", "unable to get certificate CRL"),
    ],
)
async def test_without_a_list_that_counts_no_server_is_spoken_to(
    house: House, more: dict[str, Any] | None, check: str, why: str
) -> None:
    if more is None:
        house.put(house.root.crl())
    else:
        house.revoke(**more)
    async with house.client(crl_check=check) as client:
        with pytest.raises(BadUpstream, match=why):
            await house.ask(client)


@pytest.mark.parametrize("what", ["gone", "half", "certificate", "forged"])
async def test_a_bad_list_is_not_taken_up_and_the_old_one_stays(house: House, what: str) -> None:
    stranger = Authority.root()
    house.revoke(house.server)
    async with house.client() as client:
        text = (house.folder / "ca.crl").read_text()
        if what == "gone":
            (house.folder / "ca.crl").unlink()
            house.ahead_s += LOOK_S
        else:
            house.put(
                {
                    "half": text[:-50],
                    "certificate": house.root.crl() + house.below.crl() + pem(stranger.certificate),
                    "forged": house.root.crl(by=stranger) + house.below.crl(),
                }[what]
            )
        with pytest.raises(BadUpstream, match=r"revoked \(newer revocation lists were not taken up: "):
            await house.ask(client)
        house.revoke()
        assert await house.ask(client) == b"ok"


async def test_channels_look_when_they_are_dialled(house: House) -> None:
    class Silent(asyncio.Protocol):
        transport: Any = None

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def abort(self) -> None:
            if self.transport is not None:
                self.transport.abort()

    async with house.client() as client:
        dialer = Dialer("127.0.0.1", client.endpoint.port, tls=house.tls())
        protocol = Silent()
        await dialer.dial(protocol)
        protocol.abort()
        house.revoke(house.server)
        assert dialer._trust is not None
        dialer._trust._next_s = 0.0
        with pytest.raises(BadUpstream, match="revoked"):
            await dialer.dial(Silent())


@pytest.mark.parametrize("section", [{"ca_file": None}, {"verify": False}])
def test_lists_need_an_authority_and_verification(house: House, section: dict[str, Any]) -> None:
    tls = {"ca_file": str(house.folder / "ca.pem"), "crl_file": str(house.folder / "ca.crl"), **section}
    with pytest.raises(ValueError, match="crl_file needs"):
        context(TlsConfig(**tls))

"""TLS under the HTTP listener: renewal while it serves, and clients that show a certificate."""

import asyncio
import itertools
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mantlet.core.call import Arrival, Reply
from mantlet.core.clock import SYSTEM
from mantlet.keys.certificates import Made, make_authority, make_client, make_server
from mantlet.listeners.tls import Authority, Served, TlsConfig

NOW = datetime.now(UTC)
AGENT = "spiffe://example/agent/a"


@dataclass
class Files:
    """An authority, and a listener's pair in files that are replaced."""

    folder: Path
    root: Made

    @property
    def tls(self) -> dict[str, str]:
        return {"cert_file": str(self.folder / "server.pem"), "key_file": str(self.folder / "server.key")}

    @property
    def ca_file(self) -> str:
        return str(self.folder / "ca.pem")

    def renew(self, made: Made | None = None) -> Made:
        made = made or make_server(self.root, ["localhost"], 90, NOW)
        for name, text in (("server.pem", made.certificate), ("server.key", made.key)):
            draft = self.folder / f"{name}.new"
            draft.write_text(text)
            draft.chmod(0o600)
            draft.replace(self.folder / name)
        return made

    def client(self, made: Made | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca_file)
        if made is not None:
            path = self.folder / f"client-{made.serial}.pem"
            path.write_text(made.certificate + made.key)
            context.load_cert_chain(path)
        return context


@pytest.fixture
def files(tmp_path: Path) -> Files:
    made = Files(tmp_path, make_authority("test", 365, NOW))
    (tmp_path / "ca.pem").write_text(made.root.certificate)
    made.renew()
    return made


def served_by(house) -> Served:
    served = house.listener._server._tls
    served._clock = SYSTEM  # the house's own clock stands in another year
    return served


def serial_of(client) -> str:
    return f"{int(client.writer.get_extra_info('peercert')['serialNumber'], 16):x}"


async def test_a_hundred_reloads_under_load_fail_no_request(serve, files: Files) -> None:
    """TLS-05: new connections all the while, and one that lives through all of it."""
    house = await serve(tls=files.tls, max_connections=200, per_address_connections=200)
    served = served_by(house)
    context = files.client()
    is_over = asyncio.Event()
    answered: list[int] = []
    serials = set()

    async def come_and_go() -> None:
        while not is_over.is_set():
            client = await house.connect(ssl=context, server_hostname="localhost")
            serials.add(serial_of(client))
            for _ in range(2):
                client.send(house.post(b"x" * 2000))
                answered.append((await client.answer())[0])
            client.close()
            with suppress(OSError):
                await client.writer.wait_closed()
            house.clients.remove(client)

    async def stay(client) -> None:
        while not is_over.is_set():
            client.send(house.post(b"y" * 2000))
            answered.append((await client.answer())[0])

    steady = await house.connect(ssl=context, server_hostname="localhost")
    pairs = itertools.cycle([make_server(files.root, ["localhost"], 90, NOW) for _ in range(5)])
    async with asyncio.TaskGroup() as group:
        group.create_task(stay(steady))
        for _ in range(3):
            group.create_task(come_and_go())
        for count in range(100):
            before = len(answered)
            files.renew(next(pairs))
            if count % 2:
                assert served.reload()
            else:
                served.look()
                served.look()
            await house.until(lambda: len(answered) > before + 1)  # noqa: B023
        is_over.set()
    assert set(answered) == {200}
    assert len(answered) > 200
    assert len(serials) > 1
    assert house.errors == []


async def test_an_open_connection_outlives_its_certificate_and_the_next_gets_the_new(serve, files: Files) -> None:
    """TLS-05"""
    house = await serve(tls=files.tls)
    context = files.client()
    old = await house.connect(ssl=context, server_hostname="localhost")
    new = files.renew()
    assert served_by(house).reload()
    old.send(house.get())
    assert (await old.answer())[0] == 200
    assert serial_of(await house.connect(ssl=context, server_hostname="localhost")) == new.serial


@pytest.mark.parametrize("what", ["mismatched", "missing", "garbage", "ended", "future", "half", "encrypted"])
async def test_a_bad_pair_is_refused_whole_and_the_old_one_stays(serve, files: Files, what: str) -> None:
    """TLS-05"""
    house = await serve(tls=files.tls)
    served = served_by(house)
    told = []
    served._tell = lambda level, event, fields: told.append((level, event, str(fields)))
    before = served.context
    good = make_server(files.root, ["localhost"], 90, NOW)
    if what == "mismatched":
        files.renew(Made(good.certificate, files.root.key, "", ""))
    elif what == "missing":
        (files.folder / "server.key").unlink()
    elif what == "garbage":
        files.renew(Made("no certificate", good.key, "", ""))
    elif what == "half":
        files.renew(Made(good.certificate[:200], good.key, "", ""))
    elif what == "ended":
        files.renew(make_server(files.root, ["localhost"], 1, NOW - timedelta(days=40)))
    elif what == "future":
        files.renew(make_server(files.root, ["localhost"], 1, NOW + timedelta(days=2)))
    else:
        from cryptography.hazmat.primitives import serialization as s

        key = s.load_pem_private_key(good.key.encode(), None)
        locked = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"x"))
        files.renew(Made(good.certificate, locked.decode(), "", ""))
    assert not served.reload()
    assert not served.reload()
    assert [(level, event) for level, event, _ in told] == [("error", "tls.reload_failed")]
    assert "PRIVATE" not in told[0][2]
    assert served.context is before
    client = await house.connect(ssl=files.client(), server_hostname="localhost")
    client.send(house.get())
    assert (await client.answer())[0] == 200
    files.renew()
    assert served.reload()
    assert served.context is not before


async def test_a_change_is_taken_up_when_it_was_seen_twice(serve, files: Files) -> None:
    """A pair is two files: the first look may fall between them."""
    house = await serve(tls=files.tls)
    served = served_by(house)
    before = served.context
    served.look()
    files.renew()
    served.look()
    assert served.context is before
    served.look()
    assert served.context is not before
    before = served.context
    served.look()
    assert served.context is before


async def test_a_key_open_to_others_is_refused_where_start_would(serve, files: Files) -> None:
    """CFG-03"""
    house = await serve(tls=files.tls)
    served = served_by(house)
    served._why_exposed = lambda path: "is open to others" if path.stat().st_mode & 0o077 else ""
    files.renew()
    (files.folder / "server.key").chmod(0o644)
    assert not served.reload()
    (files.folder / "server.key").chmod(0o600)
    assert served.reload()


async def test_a_client_certificate_is_read_once_and_reaches_every_arrival(serve, files: Files) -> None:
    """TLS-02: subjectAltName, and nothing of what headers say."""
    house = await serve(tls={**files.tls, "client_ca_file": files.ca_file})
    made = make_client(files.root, [AGENT], ["agent-a.Example"], 1, NOW)
    client = await house.connect(ssl=files.client(made), server_hostname="localhost")
    for _ in range(2):
        client.send(house.get(fields=b"X-Forwarded-Client-Cert: URI=spiffe://example/admin\r\n"))
        assert (await client.answer())[0] == 200
    first, second = (arrival.peer_certificate for arrival in house.arrivals)
    assert first is second
    assert (first.uris, first.dns_names, first.serial) == ((AGENT,), ("agent-a.example",), made.serial)
    assert first.is_for_clients
    assert len(first.sha256) == len(first.spki_sha256) == 64
    assert first.expires_at_s == pytest.approx(NOW.timestamp() + 86400, abs=2)


def bad_clients(files: Files) -> Iterator[tuple[str, Made]]:
    yield "another authority", make_client(make_authority("other", 9, NOW), [AGENT], [], 1, NOW)
    yield "expired", make_client(files.root, [AGENT], [], 1, NOW - timedelta(days=9))
    yield "not yet valid", make_client(files.root, [AGENT], [], 1, NOW + timedelta(days=9))
    yield "a server's", make_server(files.root, ["agent-a"], 1, NOW)


async def test_what_openssl_refuses_never_arrives(serve, files: Files) -> None:
    """TLS-02: chain, validity and clientAuth are the handshake's to check; each failure is counted."""
    counted = []
    house = await serve(tls={**files.tls, "client_ca_file": files.ca_file})
    served_by(house)._count = lambda *labels: counted.append(labels)
    for what, made in [*bad_clients(files), ("none", None)]:
        client = await house.connect(ssl=files.client(made), server_hostname="localhost")
        client.send(house.get())
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await client.answer()
        assert house.arrivals == [], what
    await house.until(lambda: not house.listener._door.seats)
    reasons = [labels[1:] for labels in counted if labels[0] == "mantlet_tls_handshake_failures"]
    assert reasons == [("http", "bad_certificate")] * 4 + [("http", "no_certificate")]
    why = [labels[2] for labels in counted if labels[0] == "mantlet_certificate_failures"]
    assert why == ["unknown_authority", "expired", "not_yet_valid", "purpose"]


async def test_a_certificate_that_cannot_be_read_opens_nothing(serve, files: Files) -> None:
    """TLS-02: signed by the authority, and with more names than anybody looks at."""
    house = await serve(tls={**files.tls, "client_ca_file": files.ca_file})
    counted = []
    served_by(house)._count = lambda *labels: counted.append(labels)
    made = make_client(files.root, [f"spiffe://example/{number}" for number in range(100)], [], 1, NOW)
    client = await house.connect(ssl=files.client(made), server_hostname="localhost")
    client.send(house.get())
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await client.answer()
    await house.until(lambda: not house.listener._door.seats)
    assert house.arrivals == []
    assert ("mantlet_certificate_failures", "client", "malformed") in counted


async def test_callers_may_come_without_a_certificate_unless_it_is_demanded(serve, files: Files) -> None:
    """TLS-02: `auth.mtls` alone asks, and does not demand."""
    house = await serve(tls=files.tls)
    house.listener._server._tls = Served("http", TlsConfig(**files.tls), clock=SYSTEM, callers=Authority(files.ca_file))
    for made in (None, make_client(files.root, [AGENT], [], 1, NOW)):
        client = await house.connect(ssl=files.client(made), server_hostname="localhost")
        client.send(house.get())
        assert (await client.answer())[0] == 200
    without, shown = (arrival.peer_certificate for arrival in house.arrivals)
    assert without is None
    assert shown.uris == (AGENT,)


async def test_weak_ciphers_are_refused_at_start(serve, files: Files) -> None:
    """TLS-01"""
    for words in ("AES128-SHA", "ECDHE+AESGCM:AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA256"):
        with pytest.raises((ValueError, ssl.SSLError)):
            await serve(tls={**files.tls, "min_version": "1.2", "ciphers": words})
    house = await serve(tls={**files.tls, "min_version": "1.2", "ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384"})
    context = files.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    client = await house.connect(ssl=context, server_hostname="localhost")
    assert client.writer.get_extra_info("cipher")[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"


async def test_the_peer_certificate_is_absent_without_tls(serve) -> None:
    async def handler(arrival: Arrival) -> Reply:
        assert arrival.peer_certificate is None
        return Reply(200, [])

    house = await serve(handler)
    client = await house.connect()
    client.send(house.get())
    assert (await client.answer())[0] == 200

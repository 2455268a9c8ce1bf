"""TLS-02: revocation lists at a listener that asks for client certificates, by real handshakes of a real hierarchy."""

import asyncio
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.servers.pki import DAY, NOW, Authority, Signed, pem

from mantlet.core.clock import SYSTEM, Clock
from mantlet.listeners.tls import Authority as Trusted
from mantlet.listeners.tls import Served, TlsConfig

FAILURES = (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)


@dataclass
class Pki:
    """Root, an authority below it, a server of the root's, and the files of a listener."""

    folder: Path
    root: Authority = field(default_factory=Authority.root)

    def __post_init__(self) -> None:
        self.below = self.root.below()
        (self.folder / "ca.pem").write_text(pem(self.root.certificate))
        self.server = self.root.leaf(is_client=False).write(self.folder, "server")
        self.revoke()

    def revoke(self, *revoked: Signed) -> None:
        """Lists of both authorities; each names what of `revoked` is its own."""
        own = [one for one in revoked if one.certificate.issuer == self.root.certificate.subject]
        self.put(self.root.crl(*own) + self.below.crl(*[one for one in revoked if one not in own]))

    def put(self, text: str) -> None:
        draft = self.folder / "draft"
        draft.write_text(text)
        draft.replace(self.folder / "ca.crl")

    def tls(self, **more: str) -> dict[str, str]:
        ca_file, crl_file = str(self.folder / "ca.pem"), str(self.folder / "ca.crl")
        return {**self.server, "client_ca_file": ca_file, "crl_file": crl_file, **more}

    def shows(self, client: Signed | None) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        if client is not None:
            between = [] if client.certificate.issuer == self.root.certificate.subject else [self.below]
            made.load_cert_chain(client.write(self.folder, f"client-{client.serial:x}", *between)["cert_file"])
        return made


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


async def is_let_in(house, pki: Pki, client: Signed | None) -> bool:
    arrived = len(house.arrivals)
    made = await house.connect(ssl=pki.shows(client), server_hostname="localhost")
    made.send(house.get())
    try:
        is_answered = (await made.answer())[0] == 200
    except FAILURES:
        is_answered = False
    assert (len(house.arrivals) > arrived) is is_answered
    made.close()
    with suppress(*FAILURES):
        await made.writer.wait_closed()
    house.clients.remove(made)
    return is_answered


def served_by(house) -> Served:
    served = house.listener._server._tls
    served._clock = SYSTEM  # the house's own clock stands in another year
    return served


def counted_by(served: Served) -> list[str]:
    counted: list[str] = []
    served._count = lambda family, *labels: counted.append(labels[-1]) if "certificate" in family else None
    return counted


async def test_a_revoked_client_is_refused_and_so_is_one_of_a_revoked_authority(serve, pki: Pki) -> None:
    direct, below, revoked = pki.root.leaf(), pki.below.leaf(), pki.below.leaf()
    pki.revoke(revoked)
    house = await serve(tls=pki.tls())
    served = served_by(house)
    counted = counted_by(served)
    assert [await is_let_in(house, pki, one) for one in (direct, below, revoked)] == [True, True, False]
    pki.revoke(pki.below)
    assert served.reload()
    assert [await is_let_in(house, pki, one) for one in (direct, below, revoked)] == [True, False, False]
    assert counted == ["revoked"] * 3


async def test_a_list_is_taken_up_while_it_serves_and_taken_back_too(serve, pki: Pki) -> None:
    client = pki.below.leaf()
    house = await serve(tls=pki.tls())
    served = served_by(house)
    for is_revoked in (True, False, True):
        pki.revoke(*[client] * is_revoked)
        served.look()
        served.look()
        assert await is_let_in(house, pki, client) is not is_revoked


@pytest.mark.parametrize(
    ("lists", "check", "why"),
    [
        (lambda pki: pki.root.crl(), "chain", "no_revocation_list"),  # none of the issuer's
        (lambda pki: pki.root.crl(), "leaf", "no_revocation_list"),
        (lambda pki: pki.root.crl() + pki.below.crl(ends=NOW - DAY / 2), "chain", "ended_revocation_list"),
        (lambda pki: pki.root.crl(ends=NOW - DAY / 2) + pki.below.crl(), "chain", "ended_revocation_list"),
        (lambda pki: pki.root.crl() + pki.below.crl(begins=NOW + DAY / 2), "chain", "bad_revocation_list"),
        (lambda pki: pki.root.crl() + pki.below.crl(by=Authority.root()), "chain", "bad_revocation_list"),
    ],
)
async def test_without_a_list_that_counts_nobody_is_let_in(serve, pki: Pki, lists, check: str, why: str) -> None:
    pki.put(lists(pki))
    house = await serve(tls=pki.tls(crl_check=check))
    counted = counted_by(served_by(house))
    assert not await is_let_in(house, pki, pki.below.leaf())
    assert counted == [why]


async def test_the_leafs_issuer_alone_may_have_a_list(serve, pki: Pki) -> None:
    revoked = pki.below.leaf()
    pki.put(pki.below.crl(revoked))
    house = await serve(tls=pki.tls(crl_check="leaf"))
    assert await is_let_in(house, pki, pki.below.leaf())
    assert not await is_let_in(house, pki, revoked)


@pytest.mark.parametrize("what", ["gone", "half", "certificate", "forged", "ended", "garbage"])
async def test_a_bad_list_is_refused_whole_and_the_old_one_stays(serve, pki: Pki, what: str) -> None:
    revoked, good, stranger = pki.below.leaf(), pki.below.leaf(), Authority.root("stranger")
    pki.revoke(revoked)
    house = await serve(tls=pki.tls())
    served, told = served_by(house), []
    served._tell = lambda level, event, fields: told.append((level, event, str(fields)))
    text = (pki.folder / "ca.crl").read_text()
    if what == "gone":
        (pki.folder / "ca.crl").unlink()
    else:
        pki.put(
            {
                "half": text[:-60],
                "certificate": text + pem(stranger.certificate),
                "forged": pki.root.crl(by=stranger) + pki.below.crl(),
                "ended": pki.root.crl(ends=NOW - DAY / 2) + pki.below.crl(),
                "garbage": "\x00" * 4096,
            }[what]
        )
    assert not served.reload()
    assert not served.reload()
    assert [(level, event) for level, event, _ in told] == [("error", "tls.reload_failed")]
    assert "crl" in told[0][2]
    assert [await is_let_in(house, pki, one) for one in (revoked, good, stranger.leaf())] == [False, True, False]
    pki.revoke(good)
    assert served.reload()
    assert [await is_let_in(house, pki, one) for one in (revoked, good)] == [True, False]


async def test_an_ended_list_keeps_no_new_certificate_out_and_its_end_is_told(serve, pki: Pki) -> None:
    """TLS-05: the listener's own certificate is renewed whatever the clients' lists are like."""
    house = await serve(tls=pki.tls())
    served, told = served_by(house), []
    served._tell = lambda level, event, fields: told.append(event)
    days = 0.0
    served._clock = Clock(SYSTEM.monotonic, lambda: NOW.timestamp() + days * DAY.total_seconds())
    for days, expected in ((0.5, []), (0.9, ["tls.revocation_list_ends_soon"]), (1.1, ["tls.revocation_list_ended"])):
        served.look()
        served.look()
        assert [event for event in told if "list" in event] == expected, days
        told.clear()
    pki.root.leaf(is_client=False).write(pki.folder, "server")
    assert served.reload()
    assert "tls.reloaded" in told


async def test_who_need_show_none_comes_in_without_one_whatever_the_list(serve, pki: Pki) -> None:
    """`auth.mtls` asks and does not demand: a token needs no revocation list."""
    pki.put(pki.root.crl(ends=NOW - DAY / 2) + pki.below.crl())
    house = await serve(tls=pki.server)
    callers = Trusted(str(pki.folder / "ca.pem"), str(pki.folder / "ca.crl"))
    house.listener._server._tls = Served("http", TlsConfig(**pki.server), clock=SYSTEM, callers=callers)
    assert await is_let_in(house, pki, None)
    assert not await is_let_in(house, pki, pki.below.leaf())


async def test_a_session_of_tls_1_2_is_not_resumed_past_a_new_list(serve, pki: Pki) -> None:
    """A session id would bring the certificate verified of old."""
    client = pki.below.leaf()
    house = await serve(tls=pki.tls(min_version="1.2"))
    context = pki.shows(client)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    port = house.listener.port
    loop = asyncio.get_running_loop()

    def shake(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool]:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as raw,
            context.wrap_socket(raw, server_hostname="localhost", session=session) as made,
        ):
            return made.session, bool(made.session_reused)

    session, _ = await loop.run_in_executor(None, shake, None)
    pki.revoke(client)
    assert served_by(house).reload()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await loop.run_in_executor(None, shake, session)


def test_a_list_stands_beside_its_authority() -> None:
    with pytest.raises(ValueError, match="client_ca_file"):
        TlsConfig(cert_file="a", key_file="b", crl_file="c")

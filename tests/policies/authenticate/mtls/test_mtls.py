"""TLS-02: who a client certificate stands for, and when it no longer does (spec 4.5)."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.certificate import PeerCertificate
from mantlet.core.clock import Clock
from mantlet.core.config_error import ConfigError
from mantlet.core.headers import Headers
from mantlet.core.record import Trail
from mantlet.core.refusal import AmbiguousCredentials, InvalidCredential, Unauthenticated
from mantlet.keys.files import read_secret
from mantlet.policies.authenticate.config import AuthConfig
from mantlet.policies.authenticate.mtls.names import match, read
from mantlet.policies.authenticate.opening import open_authenticate
from mantlet.policies.authenticate.policy import Authenticate

NOW = 1_700_000_000.0
KEY = "q8Zr2mXw0Lk7Vt4Nc9Yb1Hd6Jf3Gs5Pa8Ue2Io7Wx0Q"
A = "spiffe://example/agent/a"
CALLERS = [
    {"san": A, "roles": ["agent"], "scopes": ["mcp:read"], "tenant": "research", "kind": "agent"},
    {"san": "Worker.Example", "subject": "worker", "roles": ["user"]},
    {"san": "https://id.example/x"},
]
_NO_HEADERS = Headers()


def certificate(*uris: str, dns: tuple[str, ...] = (), **more: Any) -> PeerCertificate:
    fields = {"serial": "a1", "spki_sha256": "ab" * 32, "sha256": "|".join([*uris, *dns, str(more)]),
              "expires_at_s": NOW + 100, "is_for_clients": True, **more}  # fmt: skip
    return PeerCertificate(uris=uris, dns_names=dns, **fields)


class House:
    def __init__(self, **mtls: Any) -> None:
        self.now_s = NOW
        section = {"enabled": True, "ca_file": "ca.pem", "callers": CALLERS, **mtls}
        keys = [{"name": "ci", "key": KEY, "roles": ["admin"]}]
        from mantlet.node.config.conform import decode_special

        made = open_authenticate(
            msgspec.convert({"mtls": section, "api_keys": keys}, AuthConfig, dec_hook=decode_special),
            environment="production",
            clock=Clock(lambda: self.now_s, lambda: self.now_s),
            pepper=bytes(32),
            read_secret=read_secret,
        )
        assert isinstance(made, Authenticate)
        self.authenticate = made

    async def identify(
        self, shown: PeerCertificate | None, headers: Headers = _NO_HEADERS, query: bytes = b""
    ) -> Caller:
        async def nobody_reads() -> bytes:
            raise AssertionError

        trail = Trail("id", "http", "192.0.2.1", NOW)
        arrival = Arrival("POST", "/mcp", query, headers, "192.0.2.1", nobody_reads, 0, trail, peer_certificate=shown)
        seen: list[Caller | None] = []

        async def onward(item: Arrival) -> Reply:
            seen.append(item.caller)
            return Reply(200, [])

        await self.authenticate(arrival, onward)
        assert seen[0] is not None
        assert trail.authentication == seen[0].method
        return seen[0]


async def test_a_uri_or_dns_name_identifies() -> None:
    house = House()
    caller = await house.identify(certificate(A))
    assert (caller.subject, caller.tenant, caller.kind) == (A, "research", "agent")
    assert (caller.roles, caller.scopes) == ({"agent"}, {"mcp:read"})
    assert (caller.method, caller.issuer, caller.expires_at_s) == ("mtls", "mantlet:mtls", NOW + 100)
    assert caller.credential_id == f"x509:a1:{'ab' * 32}"
    assert (await house.identify(certificate(dns=("worker.example",)))).subject == "worker"
    assert (await house.identify(certificate("https://id.example/x"))).kind == "service"
    assert await house.identify(certificate(A)) is caller


@pytest.mark.parametrize(
    "shown",
    [
        certificate(),
        certificate("spiffe://example/agent/b"),
        certificate("spiffe://example/agent/a/"),
        certificate("SPIFFE://example/agent/a"),
        certificate("https://id.example/x?"),
        certificate(dns=("*.example",)),
        certificate(dns=("worker.example.",)),
        certificate(dns=("x.worker.example",)),
        certificate("spiffe://EXAMPLE/agent/a"),
    ],
)
async def test_any_other_name_is_nobody(shown: PeerCertificate) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await House().identify(shown)
    assert not isinstance(caught.value, InvalidCredential)


@pytest.mark.parametrize(
    "shown",
    [
        certificate(A, dns=("worker.example",)),
        certificate("https://id.example/x", dns=("worker.example",)),
        certificate(A, "https://id.example/x"),
        certificate(A, "spiffe://example/agent/b"),
        certificate(A, is_for_clients=False),
        certificate(A, expires_at_s=NOW),
    ],
)
async def test_what_names_two_or_is_not_for_this_is_refused(shown: PeerCertificate) -> None:
    with pytest.raises(InvalidCredential):
        await House().identify(shown)


async def test_a_token_wins_and_a_bad_one_is_not_retried_as_a_certificate() -> None:
    """AUTHN-02: the token says more precisely who calls."""
    house = House()
    bearer = Headers([(b"authorization", b"Bearer " + KEY.encode())])
    assert (await house.identify(certificate(A), bearer)).subject == "ci"
    assert (await house.identify(certificate(), bearer)).subject == "ci"
    for bad in (b"Bearer nonsense", b"Basic abc"):
        with pytest.raises(InvalidCredential):
            await house.identify(certificate(A), Headers([(b"authorization", bad)]))
    with pytest.raises(AmbiguousCredentials):
        await house.identify(certificate(A), query=b"access_token=x")
    with pytest.raises(AmbiguousCredentials):
        await house.identify(certificate(A), Headers([(b"cookie", b"token=x")]))


async def test_a_header_is_no_certificate() -> None:
    """TLS-02"""
    names = (b"x-forwarded-client-cert", b"x-ssl-client-cert", b"ssl-client-cert", b"client-cert")
    for name in names:
        with pytest.raises(Unauthenticated):
            await House().identify(None, Headers([(name, b"URI=spiffe://example/agent/a")]))


@pytest.mark.parametrize("revoked", ["serial:A1", "spki:" + "AB" * 32])
async def test_a_revoked_certificate_lets_nothing_in_not_even_a_token(revoked: str) -> None:
    house = House(revoked=[revoked])
    for headers in (Headers(), Headers([(b"authorization", b"Bearer " + KEY.encode())])):
        with pytest.raises(InvalidCredential):
            await house.identify(certificate(A), headers)


async def test_a_revocation_in_the_file_acts_on_open_connections_and_streams(tmp_path: Path) -> None:
    path = tmp_path / "revoked"
    path.write_text("")
    house = House(revoked_file=str(path))
    caller = await house.identify(certificate(A))
    assert house.authenticate.is_current(caller)
    path.write_text("serial:a1\n")
    house.authenticate.look()
    assert not house.authenticate.is_current(caller)
    with pytest.raises(InvalidCredential):
        await house.identify(certificate(A))


async def test_a_certificate_that_ends_ends_its_caller() -> None:
    """AUTHN-06"""
    house = House()
    caller = await house.identify(certificate(A))
    house.now_s += 100
    assert not house.authenticate.is_current(caller)
    with pytest.raises(InvalidCredential):
        await house.identify(certificate(A))


async def test_switched_off_a_certificate_is_nothing() -> None:
    with pytest.raises(Unauthenticated):
        await House(enabled=False).identify(certificate(A))


@pytest.mark.parametrize(
    ("section", "where"),
    [
        ({"callers": [{"san": "spiffe://Example/a"}]}, "auth.mtls.callers[0].san"),
        ({"callers": [{"san": "spiffe://example"}]}, "auth.mtls.callers[0].san"),
        ({"callers": [{"san": "*.example"}]}, "auth.mtls.callers[0].san"),
        ({"callers": [{"san": "CN=a"}]}, "auth.mtls.callers[0].san"),
        ({"callers": [{"san": ""}]}, "auth.mtls.callers[0].san"),
        ({"callers": [{"san": "a.example"}, {"san": "A.example"}]}, "auth.mtls.callers[1].san"),
        ({"callers": [{"san": "a.example", "subject": " "}]}, "auth.mtls.callers[0].subject"),
        ({"revoked": ["a1"]}, "auth.mtls.revoked[0]"),
        ({"revoked_file": "/nowhere/revoked"}, "auth.mtls.revoked_file"),
    ],
)
def test_what_is_wrong_is_found_at_start(section: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        House(**section)
    assert caught.value.where == where


def test_names_are_compared_whole() -> None:
    assert read("A.Example") == "a.example"
    assert match(certificate(A, dns=("other",)), {A}) == A
    assert match(certificate(A), {"spiffe://example/agent"}) is None

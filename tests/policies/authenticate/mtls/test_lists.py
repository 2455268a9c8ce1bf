"""TLS-02: revocation lists as they meet connections that are open."""

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.servers.pki import DAY, NOW, Authority, Signed, pem

from mantlet.core.certificate import PeerCertificate
from mantlet.core.clock import Clock
from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import InvalidCredential
from mantlet.policies.authenticate.config import MtlsCallerConfig, MtlsConfig
from mantlet.policies.authenticate.mtls.opening import open_mtls
from mantlet.policies.authenticate.mtls.provider import Mtls

SAN = "spiffe://example/agent/a"


class House:
    def __init__(self, folder: Path) -> None:
        self.root = Authority.root()
        self.path = folder / "ca.crl"
        (folder / "ca.pem").write_text(pem(self.root.certificate))
        self.path.write_text(self.root.crl())
        self.now_s = NOW.timestamp()
        self.told: list[tuple[str, dict[str, Any]]] = []
        clock = Clock(lambda: self.now_s, lambda: self.now_s)
        config = MtlsConfig(
            enabled=True,
            ca_file=str(folder / "ca.pem"),
            crl_file=str(self.path),
            callers=(MtlsCallerConfig(san=SAN),),
        )
        made = open_mtls(config, clock, lambda level, event, fields: self.told.append((event, dict(fields))))
        assert made is not None
        self.mtls: Mtls = made

    def put(self, text: str) -> None:
        draft = self.path.with_suffix(".new")
        draft.write_text(text)
        draft.replace(self.path)
        self.mtls.look()


def shown(signed: Signed) -> PeerCertificate:
    issuer = hashlib.sha256(signed.certificate.issuer.public_bytes()).hexdigest()
    serial, ends_at_s = f"{signed.serial:x}", (NOW + 2 * DAY).timestamp()
    return PeerCertificate((SAN,), (), serial, "ab" * 32, serial, ends_at_s, True, issuer)


def test_a_list_acts_on_open_connections_and_streams_and_can_be_taken_back(tmp_path: Path) -> None:
    """AUTHN-06"""
    house = House(tmp_path)
    one, other = shown(house.root.leaf()), shown(signed := house.root.leaf())
    callers = [house.mtls.caller(certificate) for certificate in (one, other)]
    for is_revoked in (False, True, False):
        house.put(house.root.crl(*[signed] * is_revoked))
        house.mtls.check(one)
        assert [house.mtls.is_current(caller) for caller in callers if caller] == [True, not is_revoked]
        if is_revoked:
            with pytest.raises(InvalidCredential) as caught:
                house.mtls.check(other)
            assert "revoked" in caught.value.why


def test_a_number_of_another_authority_means_nothing(tmp_path: Path) -> None:
    house = House(tmp_path)
    signed = house.root.leaf()
    namesake = PeerCertificate((SAN,), (), f"{signed.serial:x}", "cd" * 32, "x", house.now_s + 100, True, "ff" * 32)
    caller = house.mtls.caller(namesake)
    assert caller is not None
    house.put(house.root.crl(signed))
    house.mtls.check(namesake)
    assert house.mtls.is_current(caller)


def test_a_caller_of_another_process_is_judged_by_the_number_alone(tmp_path: Path) -> None:
    """Its issuer is not known here, and could be any."""
    (tmp_path / "elsewhere").mkdir()
    house, elsewhere = House(tmp_path), House(tmp_path / "elsewhere")
    signed = house.root.leaf()
    caller = elsewhere.mtls.caller(shown(signed))
    assert caller is not None
    assert house.mtls.is_current(caller)
    house.put(house.root.crl(signed))
    assert not house.mtls.is_current(caller)


def test_when_the_list_has_ended_nobody_counts(tmp_path: Path) -> None:
    house = House(tmp_path)
    certificate = shown(house.root.leaf())
    caller = house.mtls.caller(certificate)
    assert caller is not None
    house.now_s += DAY.total_seconds() + 1
    assert not house.mtls.is_current(caller)
    with pytest.raises(InvalidCredential) as caught:
        house.mtls.check(certificate)
    assert "ended" in caught.value.why
    house.put(house.root.crl(ends=NOW + 2 * DAY))
    house.mtls.check(certificate)


@pytest.mark.parametrize("what", ["gone", "half", "forged", "ended", "certificate"])
def test_a_bad_list_keeps_what_stood(tmp_path: Path, what: str) -> None:
    house = House(tmp_path)
    signed = house.root.leaf()
    house.put(house.root.crl(signed))
    house.told.clear()
    stranger = Authority.root()
    texts = {
        "half": house.root.crl()[:-50],
        "forged": house.root.crl(by=stranger),
        "ended": house.root.crl(ends=NOW - timedelta(hours=1)),
        "certificate": pem(stranger.certificate),
    }
    if what == "gone":
        house.path.unlink()
        house.mtls.look()
    else:
        house.put(texts[what])
    house.mtls.look()
    assert [event for event, _ in house.told] == ["mtls.revocation_lists_failed"]
    with pytest.raises(InvalidCredential):
        house.mtls.check(shown(signed))
    house.put(house.root.crl())
    house.mtls.check(shown(signed))


@pytest.mark.parametrize("ca_file", [None, "ca.pem"])
def test_what_is_wrong_is_found_at_start(tmp_path: Path, ca_file: str | None) -> None:
    (tmp_path / "ca.pem").write_text(pem(Authority.root().certificate))
    (tmp_path / "ca.crl").write_text(Authority.root().crl(by=Authority.root("other")))
    config = MtlsConfig(
        enabled=True,
        ca_file=None if ca_file is None else str(tmp_path / ca_file),
        crl_file=str(tmp_path / "ca.crl"),
    )
    with pytest.raises(ConfigError) as caught:
        open_mtls(config, Clock(lambda: 0.0, lambda: 0.0), lambda level, event, fields: None)
    assert caught.value.where == "auth.mtls.crl_file"

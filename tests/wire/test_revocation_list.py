"""TLS-02: what is a revocation list that could be used, and what it revokes."""

import base64
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.servers.pki import DAY, NOW, Authority, pem

from mantlet.wire.revocation_list import MAX_BYTES, read, revoked_in

ROOT = Authority.root()
BELOW = ROOT.below()
CA = pem(ROOT.certificate).encode()
CLIENT = BELOW.leaf()


def test_a_list_says_until_when_and_whom() -> None:
    text = (ROOT.crl() + BELOW.crl(CLIENT, ends=NOW + 2 * DAY)).encode()
    found = read(text, CA, is_whole_chain=True)
    assert found.ends_at_s == int((NOW + DAY).timestamp())
    assert found.issued_at_s == int((NOW - DAY).timestamp())
    issuer = hashlib.sha256(BELOW.certificate.subject.public_bytes()).hexdigest()
    assert revoked_in(text) == {(issuer, f"{CLIENT.serial:x}")}
    assert found != read(text + b"\n", CA, is_whole_chain=True)


def without_end() -> str:
    """No builder makes one: nextUpdate is cut out of the DER (its signature fits no more, and is not asked about)."""
    made = x509.load_pem_x509_crl(BELOW.crl().encode())
    tbs, whole = made.tbs_certlist_bytes, made.public_bytes(Encoding.DER)
    second = tbs.index(b"\x17\x0d", tbs.index(b"\x17\x0d") + 1)
    body = tbs[2:second] + tbs[second + 15 :]
    rest = whole[whole.index(tbs) + len(tbs) :]
    inner = bytes([0x30, len(body)]) + body
    der = bytes([0x30, 0x81, len(inner + rest)]) + inner + rest
    return "-----BEGIN X509 CRL-----\n" + base64.encodebytes(der).decode() + "-----END X509 CRL-----\n"


FORGER = Authority.root()
DELTA = x509.DeltaCRLIndicator(1)
INDIRECT = x509.IssuingDistributionPoint(None, None, False, False, None, True, False)
GOOD = ROOT.crl()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "nothing"),
        ("no list at all", "nothing"),
        (pem(ROOT.certificate), "CERTIFICATE"),
        (GOOD + pem(FORGER.certificate), "CERTIFICATE"),
        (GOOD + pem(FORGER.certificate).replace("CERTIFICATE", "TRUSTED CERTIFICATE"), "TRUSTED"),
        (GOOD + "x -----BEGIN CERTIFICATE-----", "CERTIFICATE"),
        (GOOD + ROOT.text, "CERTIFICATE"),
        (GOOD[: len(GOOD) // 2], "without an end"),
        (GOOD + GOOD[:100], "without an end"),
        (pem(ROOT.certificate).replace("CERTIFICATE", "X509 CRL"), "."),
        (ROOT.crl(by=FORGER), "did not sign"),
        (BELOW.crl(CLIENT), "no list of an authority"),
        (ROOT.crl(extensions=[DELTA]), "delta"),
        (ROOT.crl(extensions=[INDIRECT]), "indirect"),
        (without_end(), "nextUpdate"),
        (" " * (MAX_BYTES + 1), "larger"),
    ],
)
def test_what_could_not_be_used_is_refused_with_a_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read(text.encode(), CA, is_whole_chain=True)


def test_a_leafs_issuer_alone_may_have_the_list() -> None:
    assert read(BELOW.crl(CLIENT).encode(), CA, is_whole_chain=False).ends_at_s

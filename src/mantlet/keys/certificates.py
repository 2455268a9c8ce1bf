"""A private certificate authority and what it signs: for tests, for services that know each other (spec 3.8).

EC P-256, short lives, names in the subjectAltName only. What must end earlier stands in its revocation list, or in
`auth.mtls.revoked`.
"""

import datetime
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

MAX_DAYS: Final = 3650
_SKEW: Final = datetime.timedelta(minutes=5)
"""Clocks differ: a certificate is good a little before it was made."""


@dataclass(frozen=True, slots=True)
class Made:
    """A certificate and its key, PEM. The key is a secret."""

    certificate: str
    key: str
    serial: str
    ends_at: str

    def __repr__(self) -> str:
        return f"Made(serial={self.serial!r}, ends_at={self.ends_at!r})"


def make_authority(name: str, days: float, now: datetime.datetime) -> Made:
    """A root that signs leaves and nothing that signs."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    builder = (
        _begun(subject, subject, key.public_key(), days, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _made(builder.sign(key, hashes.SHA256()), key)


def make_server(authority: Made, names: Sequence[str], days: float, now: datetime.datetime) -> Made:
    """A listener's certificate for DNS names and addresses. Raises `ValueError`."""
    if not names:
        raise ValueError("a server certificate needs a name or address")
    return _leaf(authority, [_host(name) for name in names], ExtendedKeyUsageOID.SERVER_AUTH, days, now)


def make_client(
    authority: Made, uris: Sequence[str], dns_names: Sequence[str], days: float, now: datetime.datetime
) -> Made:
    """A caller's certificate. Raises `ValueError`."""
    names: list[x509.GeneralName] = [*map(x509.UniformResourceIdentifier, uris), *map(x509.DNSName, dns_names)]
    if not names:
        raise ValueError("a client certificate needs a URI or a DNS name")
    return _leaf(authority, names, ExtendedKeyUsageOID.CLIENT_AUTH, days, now)


@dataclass(frozen=True, slots=True)
class MadeList:
    """A revocation list, PEM."""

    text: str
    ends_at: str
    serials: tuple[str, ...]
    """All that it revokes, hexadecimal."""


def make_list(
    authority: Made, revoked: Iterable[int], days: float, now: datetime.datetime, before: str = ""
) -> MadeList:
    """Sign a list of everything that `before`, the authority's last list, revokes, and of the serials `revoked`.

    Raises `ValueError`, also for a `before` that the authority did not sign: it would vouch for a stranger's words.
    """
    root, root_key = _signing(authority)
    if not 0 < days <= MAX_DAYS:
        raise ValueError(f"days must be more than 0 and at most {MAX_DAYS}")
    number, at = 1, dict.fromkeys(revoked, now)
    if before:
        last = x509.load_pem_x509_crl(before.encode())
        if last.issuer != root.subject or not last.is_signature_valid(root_key.public_key()):
            raise ValueError("the list that is there is not this authority's")
        numbers = [one.value.crl_number for one in last.extensions if isinstance(one.value, x509.CRLNumber)]
        number = 1 + max(numbers, default=0)  # another program may have made the last one, without a number
        at |= {entry.serial_number: entry.revocation_date_utc for entry in last}
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(root.subject)
        .last_update(now - _SKEW)
        .next_update(now + datetime.timedelta(days=days))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
    )
    for serial, since in sorted(at.items()):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since)
        builder = builder.add_revoked_certificate(entry.build())
    made = builder.sign(root_key, hashes.SHA256())
    ends_at = now + datetime.timedelta(days=days)
    return MadeList(
        made.public_bytes(serialization.Encoding.PEM).decode(),
        ends_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        tuple(f"{serial:x}" for serial in sorted(at)),
    )


def serial_of(certificate: str, authority: Made) -> int:
    """That of a certificate of `authority`. Raises `ValueError` for another's: to revoke it would do nothing."""
    made = x509.load_pem_x509_certificate(certificate.encode())
    root, root_key = _signing(authority)
    if made.issuer != root.subject or not _is_signed_by(made, root_key):
        raise ValueError("the certificate is not one of this authority's")
    if made.serial_number == root.serial_number:
        raise ValueError("an authority does not revoke itself")
    return made.serial_number


def _is_signed_by(made: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bool:
    try:
        key.public_key().verify(made.signature, made.tbs_certificate_bytes, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _signing(authority: Made) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    root = x509.load_pem_x509_certificate(authority.certificate.encode())
    root_key = serialization.load_pem_private_key(authority.key.encode(), None)
    if not isinstance(root_key, ec.EllipticCurvePrivateKey) or root_key.public_key() != root.public_key():
        raise ValueError("the authority's key is not its certificate's")
    return root, root_key


def _leaf(
    authority: Made,
    names: Sequence[x509.GeneralName],
    purpose: x509.ObjectIdentifier,
    days: float,
    now: datetime.datetime,
) -> Made:
    root, root_key = _signing(authority)
    if now + datetime.timedelta(days=days) > root.not_valid_after_utc:
        raise ValueError(f"the authority ends first, {root.not_valid_after_utc:%Y-%m-%d}")
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        # No common name: nobody shall be tempted to read one.
        _begun(x509.Name([]), root.subject, key.public_key(), days, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        # Critical, as RFC 5280 section 4.2.1.6 wants it of a certificate without a subject.
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
    )
    return _made(builder.sign(root_key, hashes.SHA256()), key)


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: float, now: datetime.datetime
) -> x509.CertificateBuilder:
    if not 0 < days <= MAX_DAYS:
        raise ValueError(f"days must be more than 0 and at most {MAX_DAYS}")
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _made(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Made:
    return Made(
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        f"{certificate.serial_number:x}",
        certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )

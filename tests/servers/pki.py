"""A real hierarchy of certificates with revocation lists: a root, an authority below it, and what both sign."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
SPIFFE = "spiffe://example/agent/a"
HOSTS = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]


def pem(one: x509.Certificate | x509.CertificateRevocationList) -> str:
    """As it stands in a file."""
    return one.public_bytes(serialization.Encoding.PEM).decode()


@dataclass
class Signed:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def text(self) -> str:
        """Both, PEM."""
        private, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        return pem(self.certificate) + self.key.private_bytes(private, pkcs8, serialization.NoEncryption()).decode()

    @property
    def serial(self) -> int:
        """As revocation lists name it."""
        return self.certificate.serial_number

    def write(self, folder: Path, name: str, *between: "Signed") -> dict[str, str]:
        """`cert_file` and `key_file`; the certificates `between` it and the root stand in the first."""
        path = folder / f"{name}.pem"
        path.write_text(self.text + "".join(pem(one.certificate) for one in between))
        path.chmod(0o600)
        return {"cert_file": str(path), "key_file": str(path)}


class Authority(Signed):
    """What signs."""

    @classmethod
    def root(cls, name: str = "root") -> "Authority":
        """Of itself alone."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return cls(_signed(subject, key, subject, key, is_authority=True, extensions=[]), key)

    def below(self, name: str = "below") -> "Authority":
        """An authority of its own."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = _signed(subject, key, self.certificate.subject, self.key, is_authority=True, extensions=[])
        return Authority(made, key)

    def leaf(self, *, is_client: bool = True) -> Signed:
        """A client's certificate, or that of a server on loopback."""
        key = ec.generate_private_key(ec.SECP256R1())
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH if is_client else ExtendedKeyUsageOID.SERVER_AUTH
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(SPIFFE)] if is_client else list(HOSTS)
        more = [x509.SubjectAlternativeName(names), x509.ExtendedKeyUsage([purpose])]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf")])
        made = _signed(subject, key, self.certificate.subject, self.key, is_authority=False, extensions=more)
        return Signed(made, key)

    def crl(
        self,
        *revoked: Signed,
        begins: datetime = NOW - DAY,
        ends: datetime | None = NOW + DAY,
        by: Signed | None = None,
        extensions: Sequence[x509.ExtensionType] = (),
    ) -> str:
        """Its revocation list, PEM; signed `by` another when it is a forgery."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject).last_update(begins)
        builder = builder.next_update(ends or NOW + DAY)
        for one in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(one.serial).revocation_date(begins)
            builder = builder.add_revoked_certificate(entry.build())
        for extension in extensions:
            builder = builder.add_extension(extension, critical=True)
        return pem(builder.sign((by or self).key, hashes.SHA256()))


def _signed(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    is_authority: bool,
    extensions: Sequence[x509.ExtensionType],
) -> x509.Certificate:
    usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 2 * DAY)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not is_authority,
                key_cert_sign=is_authority,
                crl_sign=is_authority,
                encipher_only=False,
                decipher_only=False,
                **usage,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())

"""What stands in a certificate: ours, for its end; a client's, for who it is (TLS-02, TLS-05)."""

import asyncio
import hashlib
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from mantlet.core.certificate import PeerCertificate
from mantlet.listeners.tls.expiry import Validity

MAX_NAMES: Final = 64
"""Names in one client certificate that are looked at; one with more is refused."""


def validity_of(path: Path) -> Validity:
    """That of the first certificate of a PEM file, the listener's own. Raises `OSError` or `ValueError`."""
    own = x509.load_pem_x509_certificates(path.read_bytes())[0]
    return Validity(own.not_valid_before_utc.timestamp(), own.not_valid_after_utc.timestamp())


def shown_by(transport: asyncio.BaseTransport) -> PeerCertificate | None:
    """The certificate of the client at the other end, verified by its handshake; None when it showed none.

    Raises `ValueError` for one whose extensions cannot be read.
    """
    made = transport.get_extra_info("ssl_object")
    der = None if made is None else made.getpeercert(binary_form=True)
    return None if der is None else read_peer(der)


def read_peer(der: bytes) -> PeerCertificate:
    """What identifies a client. Names come from its subjectAltName alone: a common name is anybody's (RFC 9525).

    Raises `ValueError` for what cannot be read.
    """
    certificate = x509.load_der_x509_certificate(der)
    try:
        extensions = certificate.extensions
    except x509.DuplicateExtension as error:
        raise ValueError("an extension stands twice") from error
    uris: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    is_for_clients = is_authority = False
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            uris = tuple(value.get_values_for_type(x509.UniformResourceIdentifier))
            names = tuple(name.lower() for name in value.get_values_for_type(x509.DNSName))
        elif isinstance(value, x509.ExtendedKeyUsage):
            is_for_clients = ExtendedKeyUsageOID.CLIENT_AUTH in value
        elif isinstance(value, x509.BasicConstraints):
            is_authority = value.ca
    if len(uris) + len(names) > MAX_NAMES:
        raise ValueError(f"more than {MAX_NAMES} names")
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PeerCertificate(
        uris=uris,
        dns_names=names,
        serial=f"{certificate.serial_number:x}",
        spki_sha256=hashlib.sha256(spki).hexdigest(),
        sha256=hashlib.sha256(der).hexdigest(),
        expires_at_s=certificate.not_valid_after_utc.timestamp(),
        is_for_clients=is_for_clients and not is_authority,
        issuer_sha256=hashlib.sha256(certificate.issuer.public_bytes()).hexdigest(),
    )

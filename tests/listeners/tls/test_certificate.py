"""TLS-02: what is read of a client certificate, and what is not believed."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mantlet.listeners.tls.certificate import MAX_NAMES, read_peer

CLIENT = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])


def made(*extensions: x509.ExtensionType, name: str = "admin") -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(0x0AB)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_a_common_name_names_nobody() -> None:
    read = read_peer(made(CLIENT, name="spiffe://example/admin"))
    assert (read.uris, read.dns_names) == ((), ())
    assert read.serial == "ab"


@pytest.mark.parametrize(
    ("extensions", "is_for_clients"),
    [
        ([CLIENT], True),
        ([CLIENT, x509.BasicConstraints(ca=False, path_length=None)], True),
        ([], False),
        ([x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])], False),
        ([x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])], False),
        ([CLIENT, x509.BasicConstraints(ca=True, path_length=None)], False),
    ],
)
def test_it_must_say_itself_that_it_is_for_clients(extensions: list[x509.ExtensionType], is_for_clients: bool) -> None:
    assert read_peer(made(*extensions)).is_for_clients is is_for_clients


def test_too_many_names_are_refused() -> None:
    names = [x509.DNSName(f"a{number}.example") for number in range(MAX_NAMES + 1)]
    with pytest.raises(ValueError, match="names"):
        read_peer(made(CLIENT, x509.SubjectAlternativeName(names)))


def test_what_is_no_certificate_is_a_value_error() -> None:
    good = made(CLIENT)
    for bad in (b"", b"x", good[:-1], good[:50]):
        with pytest.raises(ValueError):
            read_peer(bad)

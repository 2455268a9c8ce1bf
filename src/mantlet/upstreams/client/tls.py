"""The one TLS context of an upstream, and its pins (TLS-03, TLS-04)."""

import base64
import binascii
import hashlib
import ssl
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from mantlet.upstreams.client.config import TlsConfig
from mantlet.wire import revocation_list

PIN_PREFIX: Final = "sha256/"
_CRL_CHECKS: Final[Mapping[str, ssl.VerifyFlags]] = {
    "chain": ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN,
    "leaf": ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF,
}


def context(config: TlsConfig, alpn: Sequence[str] = ("http/1.1",)) -> ssl.SSLContext:
    """Made once and shared by all connections: a context costs 40 ms of CPU, most of it the CA bundle.

    Raises `ValueError` or `OSError` for what cannot be used.
    """
    if bool(config.client_cert_file) != bool(config.client_key_file):
        raise ValueError("tls.client_cert_file and tls.client_key_file go together")
    made = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=config.ca_file)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(list(alpn))
    if not config.verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if config.crl_file is not None:
        _require_lists(made, config, config.crl_file)
    if config.client_cert_file and config.client_key_file:
        made.load_cert_chain(config.client_cert_file, config.client_key_file)
    return made


def _require_lists(made: ssl.SSLContext, config: TlsConfig, crl_file: str) -> None:
    if config.ca_file is None or not config.verify:
        raise ValueError("tls.crl_file needs tls.ca_file, and verification")
    with Path(crl_file).open("rb") as file:
        pem = file.read(revocation_list.MAX_BYTES + 1)
    is_whole_chain = config.crl_check == "chain"
    try:
        revocation_list.read(pem, Path(config.ca_file).read_bytes(), is_whole_chain=is_whole_chain)
    except ValueError as error:
        raise ValueError(f"tls.crl_file: {error}") from error
    trusted = made.cert_store_stats()["x509"]
    made.load_verify_locations(crl_file)
    if made.cert_store_stats()["x509"] != trusted:  # it was exchanged in this very moment
        raise ValueError("tls.crl_file: holds a certificate")
    made.verify_flags |= _CRL_CHECKS[config.crl_check]


def read_pins(pins: Iterable[str]) -> frozenset[bytes]:
    """The digests that `pins` name. Raises `ValueError` unless there are none, or at least two good ones."""
    digests = set()
    for pin in pins:
        try:
            digest = base64.b64decode(pin.removeprefix(PIN_PREFIX), validate=True)
        except binascii.Error:
            digest = b""
        if not pin.startswith(PIN_PREFIX) or len(digest) != hashlib.sha256().digest_size:
            raise ValueError(f"tls.pins: {pin!r} is not sha256/ and 32 bytes in base64")
        digests.add(digest)
    if len(digests) == 1:
        raise ValueError("tls.pins needs a second, backup pin: a lost key would lock the node out")
    return frozenset(digests)


def spki_digest(certificate_der: bytes) -> bytes:
    """SHA-256 of the certificate's SubjectPublicKeyInfo (RFC 7469 section 2.4)."""
    from cryptography import x509  # where there are pins: nobody else should wait for it at start
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = x509.load_der_x509_certificate(certificate_der).public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()

"""A certificate that a client proved to hold."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """What a listener read, once a connection, from a client certificate whose chain and validity TLS has verified.

    It says whom an authority named, not what they may do: that is for the policies. Digests and `serial` are lower-case
    hexadecimal. `expires_at_s` is Unix time: a connection can outlive the certificate it was opened with.
    """

    uris: tuple[str, ...]
    """URI names of the subjectAltName, as they stand there."""
    dns_names: tuple[str, ...]
    """DNS names of the subjectAltName, in lower case."""
    serial: str
    spki_sha256: str
    """Of the public key (SubjectPublicKeyInfo): the same for a certificate renewed with the same key."""
    sha256: str
    """Of the whole certificate: what a bound token names (RFC 8705 section 3.1, there in base64url)."""
    expires_at_s: float
    is_for_clients: bool
    """It says itself that it is for clients (extendedKeyUsage clientAuth), and is no authority's own."""
    issuer_sha256: str = ""
    """Of the issuer's name as it stands there (DER): what revocation lists number by."""

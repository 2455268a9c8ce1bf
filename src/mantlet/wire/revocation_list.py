"""Certificate revocation lists, PEM (RFC 5280 section 5).

At a handshake OpenSSL decides, and refuses where a list is missing or has ended. What is read here says beforehand what
it could not use, and which certificates of connections that are open no longer count.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from cryptography import x509  # heavy, and few configurations have lists

MAX_BYTES: Final = 4 * 1024 * 1024
"""Of a file: some eighty thousand certificates. OpenSSL takes 6 microseconds for each, on the loop."""
_LABEL: Final = re.compile(rb"-----BEGIN ([^\r\n]*?)-----")
_LIST: Final = b"X509 CRL"
_BLOCK: Final = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


class RevocationLists(NamedTuple):
    """What a file holds. Times are Unix time."""

    issued_at_s: float
    """Of the last to be issued: before that, not all of them are in force."""
    ends_at_s: float
    """Of the first to end."""
    digest: str
    """Of the whole: two that differ in what is revoked are not the same."""


def read(pem: bytes, authorities: bytes, *, is_whole_chain: bool) -> RevocationLists:
    """The lists in `pem`, for certificates that lead to `authorities`, PEM too.

    Raises `ValueError` for what is no list or could not be used: a delta or indirect list, one without an end or whose
    signature is not its authority's; and, where the whole chain is checked, when no authority has a list.
    """
    from cryptography import x509

    roots = x509.load_pem_x509_certificates(authorities)
    lists = _load(pem)
    ends = [_end_of(made) for made in lists]
    for made in lists:
        _check_signature(made, roots)
    if is_whole_chain and not any(made.issuer == root.subject for made in lists for root in roots):
        raise ValueError("holds no list of an authority in the CA file (with crl_check: leaf a root needs none)")
    issued = max(made.last_update_utc.timestamp() for made in lists)
    return RevocationLists(issued, min(ends), hashlib.sha256(pem).hexdigest())


def revoked_in(pem: bytes) -> frozenset[tuple[str, str]]:
    """(SHA-256 of the issuer's name, serial number), both as in `PeerCertificate`. Raises `ValueError` as `read`."""
    found: set[tuple[str, str]] = set()
    for made in _load(pem):
        issuer = hashlib.sha256(made.issuer.public_bytes()).hexdigest()
        found.update((issuer, f"{entry.serial_number:x}") for entry in made)
    return frozenset(found)


def _load(pem: bytes) -> "list[x509.CertificateRevocationList]":
    from cryptography import x509

    if len(pem) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES} bytes")
    # What else may stand in a PEM file, a certificate above all, OpenSSL would take for one to trust.
    labels = _LABEL.findall(pem)
    if not labels or any(label != _LIST for label in labels):
        other = next((label.decode("latin-1") for label in labels if label != _LIST), "nothing")
        raise ValueError(f"holds {other} where only revocation lists may stand (BEGIN X509 CRL)")
    blocks = _BLOCK.findall(pem)
    if len(blocks) != len(labels):
        raise ValueError("holds a revocation list without an end")
    return [x509.load_pem_x509_crl(block) for block in blocks]


def _end_of(made: "x509.CertificateRevocationList") -> float:
    from cryptography import x509

    # Read once for all: a list with an extension twice, or of a kind that OpenSSL does not use.
    try:
        extensions = made.extensions
    except x509.DuplicateExtension as error:
        raise ValueError("holds a list with an extension twice") from error
    for extension in extensions:
        value = extension.value
        is_indirect = isinstance(value, x509.IssuingDistributionPoint) and value.indirect_crl
        if is_indirect or isinstance(value, x509.DeltaCRLIndicator):
            raise ValueError("holds a delta or indirect list; whole lists of the issuer itself are needed")
    if made.next_update_utc is None:
        raise ValueError("holds a list that does not say when the next one is due (nextUpdate)")
    return made.next_update_utc.timestamp()


def _check_signature(made: "x509.CertificateRevocationList", roots: "Sequence[x509.Certificate]") -> None:
    # Of an authority between root and leaf there may be no certificate here: its list is verified at the handshake.
    issuers = [root for root in roots if root.subject == made.issuer]
    if issuers and not any(_is_signed_by(made, root) for root in issuers):
        raise ValueError(f"holds a list that {made.issuer.rfc4514_string()} did not sign")


def _is_signed_by(made: "x509.CertificateRevocationList", root: "x509.Certificate") -> bool:
    try:
        return made.is_signature_valid(root.public_key())  # type: ignore[arg-type]
    except (TypeError, ValueError):  # a key of a kind that signs nothing, or an algorithm of another key
        return False

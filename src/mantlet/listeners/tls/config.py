"""`tls:` of a listener."""

from typing import Literal, NamedTuple

import msgspec

CrlCheck = Literal["chain", "leaf"]


class Authority(NamedTuple):
    """Whose certificates clients may show."""

    ca_file: str
    crl_file: str | None = None
    crl_check: CrlCheck = "chain"


class TlsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """TLS of a listener: on when both files are named. They are read again when they change."""

    enabled: bool | None = None
    """False: off whatever is named. True: a listener without a certificate is an error, not plain text."""

    cert_file: str | None = None
    """The listener's certificate and what is between it and the root, PEM."""
    key_file: str | None = None
    client_ca_file: str | None = None
    """When set, every client must show a certificate of this CA."""
    crl_file: str | None = None
    """Revocation lists of `client_ca_file` and what is below it, PEM. When set, a certificate is taken only while there
    is a list that has not ended."""
    crl_check: CrlCheck = "chain"
    """`chain`: a list is needed of every authority between the certificate and the root, the root's own included.
    `leaf`: of the certificate's issuer alone."""
    min_version: Literal["1.2", "1.3"] = "1.3"
    ciphers: str | None = None
    """For TLS 1.2, in OpenSSL's words; unset: ECDHE with AEAD only, and nothing weaker is taken."""

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("tls: cert_file and key_file go together")
        if self.enabled and self.cert_file is None:
            raise ValueError("tls: enabled needs cert_file and key_file")
        if self.client_ca_file is not None and self.cert_file is None:
            raise ValueError("tls: client_ca_file needs cert_file and key_file")
        if self.crl_file is not None and self.client_ca_file is None:
            raise ValueError("tls: crl_file needs client_ca_file (for auth.mtls.ca_file there is auth.mtls.crl_file)")

    @property
    def authority(self) -> Authority | None:
        """Whose certificate every client must show, if any."""
        return None if self.client_ca_file is None else Authority(self.client_ca_file, self.crl_file, self.crl_check)

    @property
    def is_on(self) -> bool:
        """Whether the listener speaks TLS."""
        return self.cert_file is not None and self.enabled is not False

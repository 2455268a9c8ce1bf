"""`tls:` of a listener."""

from typing import Literal

import msgspec


class TlsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """TLS of a listener: on when both files are named. They are read again when they change."""

    enabled: bool | None = None
    """False: off whatever is named. True: a listener without a certificate is an error, not plain text."""

    cert_file: str | None = None
    """The listener's certificate and what is between it and the root, PEM."""
    key_file: str | None = None
    client_ca_file: str | None = None
    """When set, every client must show a certificate of this CA."""
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

    @property
    def is_on(self) -> bool:
        """Whether the listener speaks TLS."""
        return self.cert_file is not None and self.enabled is not False

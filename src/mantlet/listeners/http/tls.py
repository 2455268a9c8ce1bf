"""The TLS context of a listener, made once at load: an `SSLContext` costs 42 ms (TLS-01, TLS-02)."""

import ssl
from typing import Final

from mantlet.listeners.http.config import TlsConfig

CIPHERS_1_2: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and AEAD only (RFC 9325 section 4.2)."""
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def context(config: TlsConfig) -> ssl.SSLContext | None:
    """A server's context, or None when TLS is off. Raises `OSError` or `ssl.SSLError` for files that do not serve."""
    if config.cert_file is None:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = _VERSIONS[config.min_version]
    made.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    made.set_ciphers(config.ciphers or CIPHERS_1_2)
    made.set_alpn_protocols(["http/1.1"])
    made.load_cert_chain(config.cert_file, config.key_file)
    if config.client_ca_file is not None:
        made.load_verify_locations(config.client_ca_file)
        made.verify_mode = ssl.CERT_REQUIRED
    return made

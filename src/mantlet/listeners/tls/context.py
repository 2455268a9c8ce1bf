"""A listener's TLS context, made once a certificate: never one a connection (TLS-01, TLS-02)."""

import ssl
from collections.abc import Sequence
from typing import Final

from mantlet.listeners.tls.config import TlsConfig

CIPHERS_1_2: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and AEAD only (RFC 9325 section 4.2)."""
HTTP_1: Final = ("http/1.1",)
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def context(
    config: TlsConfig, *, alpn: Sequence[str] = HTTP_1, callers_ca_file: str | None = None
) -> ssl.SSLContext | None:
    """A server's context, or None when TLS is off.

    `callers_ca_file` is of callers that may identify themselves by certificate (`auth.mtls`); with
    `config.client_ca_file` every client must. Raises `OSError`, `ValueError` or `ssl.SSLError` for what does not serve.
    """
    if config.cert_file is None:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = _VERSIONS[config.min_version]
    made.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    made.set_ciphers(config.ciphers or CIPHERS_1_2)
    _refuse_weak(made)
    if alpn:
        made.set_alpn_protocols(list(alpn))
    # An encrypted key would otherwise be asked for at the terminal, and a node has nobody sitting there.
    made.load_cert_chain(config.cert_file, config.key_file, password=_no_password)
    authority = config.client_ca_file or callers_ca_file
    if authority is not None:
        made.load_verify_locations(authority)
        made.verify_mode = ssl.CERT_REQUIRED if config.client_ca_file is not None else ssl.CERT_OPTIONAL
        # A resumed session would bring its certificate unverified from the past: look at each anew.
        made.options |= ssl.OP_NO_TICKET
        made.num_tickets = 0
    return made


def _no_password() -> str:
    raise ValueError("the key is encrypted; a node needs one that is not, in a file of mode 0600")


def _refuse_weak(made: ssl.SSLContext) -> None:
    for cipher in made.get_ciphers():
        is_1_3 = cipher["protocol"] == "TLSv1.3"
        if not is_1_3 and not (cipher["aead"] and cipher["kea"] == "kx-ecdhe"):
            raise ValueError(f"tls.ciphers: {cipher['name']} is not ECDHE with AEAD")

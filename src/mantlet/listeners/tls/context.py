"""A listener's TLS context, made once a certificate: never one a connection (TLS-01, TLS-02)."""

import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from mantlet.listeners.tls.config import Authority, CrlCheck, TlsConfig
from mantlet.wire import revocation_list
from mantlet.wire.revocation_list import RevocationLists

CIPHERS_1_2: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and AEAD only (RFC 9325 section 4.2)."""
HTTP_1: Final = ("http/1.1",)
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_CRL_CHECKS: Final[Mapping[CrlCheck, ssl.VerifyFlags]] = {
    "chain": ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN,
    "leaf": ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF,
}


class Opened(NamedTuple):
    """A context, and what is said of the revocation lists in it."""

    context: ssl.SSLContext
    lists: RevocationLists | None


def open_context(config: TlsConfig, *, alpn: Sequence[str] = HTTP_1, callers: Authority | None = None) -> Opened | None:
    """A server's context, or None when TLS is off.

    `callers` is of those that may identify themselves by certificate (`auth.mtls`); with `config.client_ca_file` every
    client must. Raises `OSError`, `ValueError` or `ssl.SSLError` for what does not serve.
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
    authority = authority_of(config, callers)
    if authority is None:
        return Opened(made, None)
    made.load_verify_locations(authority.ca_file)
    made.verify_mode = ssl.CERT_REQUIRED if config.client_ca_file is not None else ssl.CERT_OPTIONAL
    # A resumed session would bring its certificate unverified from the past: look at each anew.
    made.options |= ssl.OP_NO_TICKET
    made.num_tickets = 0
    return Opened(made, None if authority.crl_file is None else _require_lists(made, authority, authority.crl_file))


def authority_of(config: TlsConfig, callers: Authority | None) -> Authority | None:
    """The one whose certificates a listener takes. Its lists may stand beside either name of it."""
    required = config.authority
    if required is None or required.crl_file is None:
        return callers or required
    return required


def _require_lists(made: ssl.SSLContext, authority: Authority, crl_file: str) -> RevocationLists:
    with Path(crl_file).open("rb") as file:
        pem = file.read(revocation_list.MAX_BYTES + 1)
    is_whole_chain = authority.crl_check == "chain"
    try:
        lists = revocation_list.read(pem, Path(authority.ca_file).read_bytes(), is_whole_chain=is_whole_chain)
    except ValueError as error:
        raise ValueError(f"crl_file: {error}") from error
    trusted = made.cert_store_stats()["x509"]
    made.load_verify_locations(crl_file)
    if made.cert_store_stats()["x509"] != trusted:  # it was exchanged in this very moment
        raise ValueError("crl_file: holds a certificate")
    made.verify_flags |= _CRL_CHECKS[authority.crl_check]
    return lists


def _no_password() -> str:
    raise ValueError("the key is encrypted; a node needs one that is not, in a file of mode 0600")


def _refuse_weak(made: ssl.SSLContext) -> None:
    for cipher in made.get_ciphers():
        is_1_3 = cipher["protocol"] == "TLSv1.3"
        if not is_1_3 and not (cipher["aead"] and cipher["kea"] == "kx-ecdhe"):
            raise ValueError(f"tls.ciphers: {cipher['name']} is not ECDHE with AEAD")

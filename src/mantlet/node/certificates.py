"""The certificates of a node's listeners: opened with its configuration, renewed while it runs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog

from mantlet.core.clock import SYSTEM
from mantlet.core.config_error import ConfigError
from mantlet.events.metrics import Metrics
from mantlet.listeners.tls import Authority, Certificates, Served, TlsConfig
from mantlet.listeners.tls.context import HTTP_1
from mantlet.node.config.model import Config
from mantlet.node.config.secret_files import exposure

if TYPE_CHECKING:
    from mantlet.node.built import Node

LISTENERS: Final = ("http", "websocket", "tcp", "admin")

log: Final = structlog.get_logger("mantlet")


def tell(level: str, event: str, fields: Mapping[str, Any]) -> None:
    """What a part reports, into the log."""
    getattr(log, level)(event, **fields)


def open_certificates(config: Config, metrics: Metrics) -> Certificates:
    """What the listeners of one process show. Nothing is read before a listener asks. Raises `ConfigError`."""
    check_callers(config)
    is_accepted = "exposed_secret" in config.accept_risks
    return Certificates(clock=SYSTEM, tell=tell, count=metrics.count, why_exposed=None if is_accepted else exposure)


def show(node: "Node", listener: str, tls: TlsConfig, *, alpn: Sequence[str] = HTTP_1) -> Served | None:
    """What `listener` shows its clients, renewed from now on; None when its TLS is off.

    Raises `OSError` or `ValueError` for files that do not serve.
    """
    certificates = node.certificates
    served = certificates.serve(listener, tls, alpn=alpn, callers=callers_of(node.config, tls))
    if served is not None:
        node.metrics.gauge(
            "mantlet_tls_certificate_expires_timestamp_seconds",
            "When the first of the listeners' certificates ends",
            lambda: certificates.first_end_s,
            "min",
        )
        if served.lists is not None:
            node.metrics.gauge(
                "mantlet_tls_revocation_list_ends_timestamp_seconds",
                "When the first of the revocation lists of client certificates ends",
                lambda: certificates.first_list_end_s,
                "min",
            )
    return served


def listeners(config: Config) -> Iterator[tuple[str, TlsConfig]]:
    """The listeners that speak TLS, each with its section."""
    for name in LISTENERS:
        section = getattr(config, name)
        tls = getattr(section, "tls", None)
        if tls is not None and tls.is_on and section.enabled:
            yield name, tls


def callers_of(config: Config, tls: TlsConfig) -> Authority | None:
    """The authority whose certificates a listener may be shown (`auth.mtls`), or None."""
    mtls = config.auth.mtls
    ca_file = mtls.ca_file or tls.client_ca_file
    if not mtls.enabled or not tls.is_on or ca_file is None:
        return None
    return Authority(ca_file, mtls.crl_file, mtls.crl_check)


def check_callers(config: Config) -> None:
    """Raise `ConfigError` when callers are to come by certificate, and could not, or by another authority's."""
    mtls = config.auth.mtls
    if not mtls.enabled:
        return
    with_tls = list(listeners(config))
    if not with_tls:
        raise ConfigError("auth.mtls", "needs a listener with TLS", "set http.tls.cert_file and key_file")
    for name, tls in with_tls:
        if mtls.ca_file is None and tls.client_ca_file is None:
            raise ConfigError("auth.mtls.ca_file", "is not set", "name the authority of your callers")
        if mtls.ca_file is not None and tls.client_ca_file not in (None, mtls.ca_file):
            # Two authorities at one listener: a certificate of either could name a caller of the other.
            raise ConfigError(
                f"{name}.tls.client_ca_file", "is another authority than auth.mtls.ca_file", "name one file in both"
            )
        if tls.crl_file is not None and tls.crl_file != mtls.crl_file:
            # Connections that are open are asked about by `auth.mtls`, which must know the same lists.
            raise ConfigError(f"{name}.tls.crl_file", "is not auth.mtls.crl_file", "name one file in both")

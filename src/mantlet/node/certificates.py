"""The certificates of a node's listeners: opened with its configuration, renewed while it runs."""

from collections.abc import Iterator
from typing import Final

from mantlet.core.clock import SYSTEM
from mantlet.core.config_error import ConfigError
from mantlet.events.metrics import Metrics
from mantlet.listeners.tls import Authority, Certificates, TlsConfig
from mantlet.node.config.model import Config
from mantlet.node.config.secret_files import exposure
from mantlet.node.housekeeping import tell

LISTENERS: Final = ("http", "websocket", "tcp", "admin")


def open_certificates(config: Config, metrics: Metrics) -> Certificates:
    """What the listeners of one process show. Nothing is read before a listener asks. Raises `ConfigError`."""
    check_callers(config)
    is_accepted = "exposed_secret" in config.accept_risks
    return Certificates(clock=SYSTEM, tell=tell, count=metrics.count, why_exposed=None if is_accepted else exposure)


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

"""What a listener shows its clients, renewed while it is open."""

from collections.abc import Sequence

from mantlet.listeners.tls import Served, TlsConfig
from mantlet.listeners.tls.context import HTTP_1
from mantlet.node.build.built import Node
from mantlet.node.certificates import callers_of


def show(node: Node, listener: str, tls: TlsConfig, *, alpn: Sequence[str] = HTTP_1) -> Served | None:
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

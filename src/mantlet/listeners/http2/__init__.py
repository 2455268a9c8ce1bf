"""HTTP/2 on TLS listeners (RFC 9113): each stream becomes the same `Arrival`, and its `Reply` the same answer.

Framing, HPACK and the state of streams are the `h2` package's. What it leaves open is here: bounds on everything that a
client can send for nothing, what a request may look like, and flow control in both directions.
"""

from mantlet.core.config_error import ConfigError


def require() -> None:
    """Raise `ConfigError` when the `h2` package is not installed."""
    try:
        import h2.connection  # noqa: F401
    except ImportError as error:
        raise ConfigError("http.http2", "needs the h2 package", 'pip install "mantlet[http2]"') from error

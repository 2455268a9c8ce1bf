"""HTTP/2 to one upstream, behind the same `HttpClient` (RFC 9113). Off unless configured; needs `mantlet[http2]`."""


def require() -> None:
    """Raise `ValueError` when the `h2` package is not installed."""
    try:
        import h2.connection  # noqa: F401
    except ImportError as error:
        raise ValueError('http2: auto needs the h2 package: pip install "mantlet[http2]"') from error

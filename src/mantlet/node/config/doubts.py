"""What is allowed and hardly meant: said by `check` and at the start, and never a reason not to start."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from mantlet.listeners.tls.config import TlsConfig
from mantlet.node.certificates import listeners
from mantlet.node.config.model import Config
from mantlet.node.config.problem import Problem


def doubts(config: Config, now_s: float) -> Iterator[Problem]:
    """The doubts about `config` at a Unix time. Only for a configuration that nothing speaks against."""
    limits = config.limits
    client, all_ = limits.client, limits.all
    if limits.enabled and client.requests / client.window > all_.requests / all_.window:
        yield Problem(
            f"one client may do {client.requests} in {client.window:g} s, and all together only {all_.requests} "
            f"in {all_.window:g} s (limits.global): a single client can use up everyone's",
            "limits.client.requests",
        )
    for name, tls in listeners(config):
        yield from _certificate(name, tls, now_s)
    pins = config.mcp.pins
    if config.mcp.servers and pins.mode_in(config.environment) == "approve" and not Path(pins.file).exists():
        yield Problem(
            "there is no lock file, so no tool is shown: `mantlet pins check --write` writes it", "mcp.pins.file"
        )
    for index, key in enumerate(config.auth.api_keys):
        if key.expires and datetime.fromisoformat(key.expires).timestamp() <= now_s:
            yield Problem(f"the key {key.name!r} has expired and is refused", f"auth.api_keys[{index}].expires")


def _certificate(listener: str, tls: TlsConfig, now_s: float) -> Iterator[Problem]:
    from mantlet.listeners.tls.certificate import validity_of  # heavy, and few configurations have TLS
    from mantlet.listeners.tls.expiry import days_left, urgency, why_unfit

    validity = validity_of(Path(tls.cert_file or ""))
    if why := why_unfit(validity, now_s):
        yield Problem(f"{why}: clients will refuse it", f"{listener}.tls.cert_file")
    elif urgency(validity, now_s):
        yield Problem(f"the certificate ends in {days_left(validity, now_s)} days", f"{listener}.tls.cert_file")

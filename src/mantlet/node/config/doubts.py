"""What is allowed and hardly meant: said by `check` and at the start, and never a reason not to start."""

from collections.abc import Iterator
from datetime import datetime

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
    for index, key in enumerate(config.auth.api_keys):
        if key.expires and datetime.fromisoformat(key.expires).timestamp() <= now_s:
            yield Problem(f"the key {key.name!r} has expired and is refused", f"auth.api_keys[{index}].expires")

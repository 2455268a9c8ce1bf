"""What is allowed and hardly meant: said by `check` and at the start, and never a reason not to start."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from mantlet.listeners.tls import TlsConfig, open_context
from mantlet.node.certificates import callers_of, listeners
from mantlet.node.config.model import Config
from mantlet.node.config.problem import Problem
from mantlet.policies.authorize.compiling import is_pattern
from mantlet.policies.authorize.rules import SEPARATOR
from mantlet.wire.revocation_list import RevocationLists


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
        opened = open_context(tls, callers=callers_of(config, tls))
        if opened is not None and opened.lists is not None:
            yield from _lists(name, opened.lists, now_s)
    pins = config.mcp.pins
    if config.mcp.servers and pins.mode_in(config.environment) == "approve" and not Path(pins.file).exists():
        yield Problem(
            "there is no lock file, so no tool is shown: `mantlet pins check --write` writes it", "mcp.pins.file"
        )
    yield from _names(config)
    yield from _filters(config)
    yield from _sealed(config)
    for index, key in enumerate(config.auth.api_keys):
        if key.expires and datetime.fromisoformat(key.expires).timestamp() <= now_s:
            yield Problem(f"the key {key.name!r} has expired and is refused", f"auth.api_keys[{index}].expires")


def _sealed(config: Config) -> Iterator[Problem]:
    """Sealed identities are taken once by whoever remembers that they came."""
    are_taken = any(peer.key or peer.key_file or peer.private_key_file for peer in config.auth.peers)
    if are_taken and config.environment != "development" and config.store.url.startswith("memory:"):
        yield Problem(
            "what a peer seals is good once, and which have come is forgotten with this process and known to no other "
            "node: name a store outside of it (docs/forwarding.md)",
            "store.url",
        )


def _names(config: Config) -> Iterator[Problem]:
    """Rules about servers that are not there: a word mistaken, or a tool's name that is none."""
    there = {one.name for one in (*config.mcp.servers, *config.http_upstreams)} | {
        one.name for one in config.mcp.virtual
    }
    for index, rule in enumerate(config.authorization.rules):
        effect = "deny" if rule.allow is None else "allow"
        selector = rule.deny if rule.allow is None else rule.allow
        if selector is None:
            continue
        key = f"authorization.rules[{index}].{effect}"
        for name in selector.servers or ():
            if not is_pattern(name) and name not in there:
                yield Problem(f"rule {rule.name!r}: no server or service is called {name!r}", f"{key}.servers")
        for name in selector.tools or ():
            server, separator, _ = name.partition(SEPARATOR)
            if separator and server and not is_pattern(server) and server not in there:
                yield Problem(
                    f"rule {rule.name!r}: {name!r} is a tool of a server {server!r}, and none is called so; a tool is "
                    f"named as its server calls it, or as SERVER{SEPARATOR}TOOL",
                    f"{key}.tools",
                )


def _filters(config: Config) -> Iterator[Problem]:
    validation = config.validation
    is_any_set = any(value is not None for value in msgspec.structs.asdict(validation.filters).values())
    if (config.mcp.servers or config.http_upstreams) and not is_any_set and not validation.filters_for:
        yield Problem(
            "no content filter is set: only prototype members are looked for; no script, no credentials, no orders to "
            "a model (docs/filters.md); `filters: {script: off}` says that this is meant",
            "validation.filters",
        )


def _lists(listener: str, lists: RevocationLists, now_s: float) -> Iterator[Problem]:
    from mantlet.listeners.tls.expiry import Validity, urgency, why_unfit

    term = Validity(lists.issued_at_s, lists.ends_at_s)
    if why := why_unfit(term, now_s):
        yield Problem(f"a revocation list {why}: no client certificate is taken", f"{listener}.tls.crl_file")
    elif urgency(term, now_s) > 1:
        left_h = (lists.ends_at_s - now_s) / 3600
        yield Problem(
            f"a revocation list ends in {left_h:.1f} hours, and nobody is let in then", f"{listener}.tls.crl_file"
        )


def _certificate(listener: str, tls: TlsConfig, now_s: float) -> Iterator[Problem]:
    from mantlet.listeners.tls.certificate import validity_of  # heavy, and few configurations have TLS
    from mantlet.listeners.tls.expiry import days_left, urgency, why_unfit

    validity = validity_of(Path(tls.cert_file or ""))
    if why := why_unfit(validity, now_s):
        yield Problem(f"the certificate {why}: clients will refuse it", f"{listener}.tls.cert_file")
    elif urgency(validity, now_s):
        yield Problem(f"the certificate ends in {days_left(validity, now_s)} days", f"{listener}.tls.cert_file")

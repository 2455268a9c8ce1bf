"""`inter_agent:`, how strictly this node goes to agents and servers. Durations are seconds."""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from mantlet.core.secret import Secret
from mantlet.upstreams.client import TlsConfig

T = TypeVar("T", bound=msgspec.Struct)


class InterAgentConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What holds for everything behind the node. An environment's own rules hold besides."""

    force_https: bool | None = None
    """Refuse `http://`, `ws://` and bare TCP in every environment. Null: where the environment does."""
    verify_certificates: bool = True
    """Off in development only: then whoever answers is believed."""
    client_cert_file: str | None = None
    """Shown to every server that names no certificate of its own in `tls`."""
    client_key_file: str | None = None
    max_token_age: int = 3600
    """No token that is made for an agent lives longer."""
    communication_key: Secret | None = None
    """What the keys of agents are derived from (`forward_identity: encrypt`); it stays at this node."""
    communication_key_file: str | None = None
    encrypt_forwarded_tokens: bool | None = None
    """Refuse `forward_identity: passthrough`, also in development; agents get a sealed identity."""

    def __post_init__(self) -> None:
        if (self.client_cert_file is None) != (self.client_key_file is None):
            raise ValueError("inter_agent: client_cert_file and client_key_file go together")
        if self.max_token_age < 1:
            raise ValueError("inter_agent.max_token_age: must be at least 1 second")


def applied(rules: InterAgentConfig, servers: Sequence[T]) -> list[T]:
    """`servers` with what `rules` say of TLS where they say nothing of their own."""
    return [_applied(rules, server) for server in servers]


def _applied(rules: InterAgentConfig, server: T) -> T:
    tls = getattr(server, "tls", None)
    if not isinstance(tls, TlsConfig):
        return server
    changed: dict[str, Any] = {}
    if not rules.verify_certificates:
        changed["verify"] = False
    if rules.client_cert_file and not tls.client_cert_file:
        changed |= {"client_cert_file": rules.client_cert_file, "client_key_file": rules.client_key_file}
    return msgspec.structs.replace(server, tls=msgspec.structs.replace(tls, **changed)) if changed else server

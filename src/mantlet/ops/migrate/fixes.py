"""What an overlay can mend by itself, by the name of the risk. Everything else takes somebody who knows: a certificate,
a secret, the HTTPS address of a server."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from mantlet.node.config.model import Config
from mantlet.node.config.refusals import Reason

Change = tuple[str, Any]
"""A dotted key and the value that it takes in the overlay."""

_BY_KEY: Final[Mapping[tuple[str, str], Any]] = {
    ("auth_off", "auth.enabled"): True,
    ("limits_off", "limits.enabled"): True,
    ("fail_open", "limits.on_store_failure"): "local_share",
    ("debug", "debug"): False,
    ("default_allow", "authorization.default"): "deny",
    ("unknown_methods", "mcp.unknown_methods"): "deny",
    ("audit_gaps", "audit.on_failure"): "refuse",
    ("admin_exposed", "admin.host"): "127.0.0.1",
    ("docker_socket", "execution.dagger.mount_docker_socket"): False,
    ("no_verification", "inter_agent.verify_certificates"): True,
    ("plain_upstream", "inter_agent.force_https"): True,
    ("plain_issuer", "auth.require_https"): True,
    ("unvalidated_tokens", "auth.validate.issuer"): True,
    ("unvalidated_tokens", "auth.validate.audience"): True,
    ("unvalidated_tokens", "auth.validate.introspection"): True,
    ("long_tokens", "auth.jwt.max_token_age"): 3600,
    ("long_tokens", "inter_agent.max_token_age"): 3600,
}
_BY_CONFIG: Final[Mapping[tuple[str, str], Callable[[Config], Any]]] = {
    # Browsers of the node's own name alone; whoever has another front end lists it.
    ("open_cors", "http.cors_origins"): lambda config: [_https(config.agent.url)] if config.agent.url else [],
    ("plain_upstream", "agent.url"): lambda config: _https(config.agent.url or ""),
}


def fix_of(reason: Reason, config: Config) -> Change | None:
    """The change that takes `reason` away, or None when it cannot be known here."""
    place = (reason.risk, reason.key)
    if place in _BY_KEY:
        return reason.key, _BY_KEY[place]
    if place in _BY_CONFIG:
        return reason.key, _BY_CONFIG[place](config)
    return None


def _https(url: str) -> str:
    return "https://" + url.partition("://")[2].rstrip("/")

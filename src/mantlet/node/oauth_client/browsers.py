"""What a configuration has for browsers, beside its own authorization server. What it has not is not imported."""

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from mantlet.core.ports import Sealer, State
from mantlet.node.config.model import Config
from mantlet.node.path import Steps
from mantlet.policies.authenticate.policy import Authenticate, Disabled
from mantlet.upstreams.egress import Guard

if TYPE_CHECKING:
    from mantlet.node.oauth_client.grants import UserGrants
    from mantlet.policies.away.logins import Logins


def open_logins(
    config: Config, authenticate: Authenticate | Disabled, guard: Guard, state: State, opened: AsyncExitStack
) -> "Logins | None":
    """Logging in at issuers of callers; None where none of them offers it. Raises `ConfigError`."""
    if all(issuer.login is None for issuer in config.auth.issuers):
        return None
    from mantlet.node.oauth_client import logins

    return logins.open_logins(config, authenticate, guard, state, opened)


def with_pages(
    steps: Steps,
    authenticate: Authenticate | Disabled,
    sealer: Sealer,
    grants: "UserGrants | None",
    logins: "Logins | None",
) -> Steps:
    """`steps` with the pages for consents and logins, where there are any."""
    if grants is not None and grants.books:
        return grants.into(steps, authenticate, sealer, steps.caller_limits, logins)
    if logins is None:
        return steps
    from mantlet.node.oauth_client.logins import endpoints_of
    from mantlet.policies.authorization_server.policy import AuthorizationServer

    return replace(steps, connect=AuthorizationServer({}, endpoints_of(logins), steps.caller_limits, "connect"))

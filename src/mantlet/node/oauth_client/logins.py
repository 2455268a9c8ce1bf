"""Logging in on the node's own pages at an issuer of callers, joined from its rooms."""

from contextlib import AsyncExitStack

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import State
from mantlet.node.config.model import Config
from mantlet.node.egress import open_fetcher
from mantlet.node.oauth_client.registrations import registered_for_login
from mantlet.node.resources import public_url, resources
from mantlet.policies.authenticate.opening import own_audience
from mantlet.policies.authenticate.policy import Authenticate, Disabled
from mantlet.policies.authorization_server.policy import Endpoint
from mantlet.policies.away.logins import LOGIN, PURPOSE, Logins
from mantlet.policies.away.trips import Trips
from mantlet.upstreams.client import TlsConfig
from mantlet.upstreams.egress import Guard
from mantlet.upstreams.oauth import AuthorizationServer
from mantlet.upstreams.oauth.flow import CodeFlow


def open_logins(
    config: Config, authenticate: Authenticate | Disabled, guard: Guard, state: State, opened: AsyncExitStack
) -> Logins | None:
    """The issuers with `login`; None where there are none. Raises `ConfigError`."""
    given = [(issuer, issuer.login) for issuer in config.auth.issuers if issuer.login is not None]
    if not given or isinstance(authenticate, Disabled):
        return None
    root = public_url(config)
    flows: dict[str, CodeFlow] = {}
    for issuer, login in given:
        fetch = open_fetcher(config, guard, TlsConfig(ca_file=issuer.ca_file))
        opened.push_async_callback(fetch.close)
        audience = issuer.audience or own_audience(root, resources(config))
        flows[issuer.name] = CodeFlow(
            issuer.name,
            AuthorizationServer(registered_for_login(issuer, login), fetch, SYSTEM),
            f"{root}{LOGIN}/{issuer.name}",
            scope=list(dict.fromkeys((*issuer.required_scopes, *login.scope))),
            resource=audience if login.resource is None else login.resource,
            parameters=login.parameters,
        )
    lives = {issuer.issuer: float(login.life) for issuer, login in given}
    trips = Trips(state, is_secure=root.startswith("https://"), purpose=PURPOSE)
    return Logins(flows, lives, trips, authenticate.recognise)


def endpoints_of(logins: Logins | None) -> dict[str, Endpoint]:
    """Where issuers send browsers back to."""
    if logins is None:
        return {}
    return {f"{LOGIN}/{place.name}": logins.callback for place in logins.places()}

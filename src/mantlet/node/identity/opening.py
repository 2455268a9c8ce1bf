"""Who may call: the providers of identity that the config names, joined into the step that asks them."""

from contextlib import AsyncExitStack

from mantlet.core.api_key import ApiKeyStore
from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Journal, State
from mantlet.core.tasks import Tasks
from mantlet.keys.api_keys import read_pepper
from mantlet.keys.files import read_secret
from mantlet.listeners.tls.served import LOOK_S
from mantlet.node.config.model import Config
from mantlet.node.housekeeping import every, tell
from mantlet.node.identity.door_keys import auth_of
from mantlet.node.identity.issuers import KnownIssuers, open_proofs, open_token_issuers
from mantlet.node.identity.own_keys import own_ring
from mantlet.node.identity.peers import open_peers
from mantlet.node.resources import is_found, public_url, resources
from mantlet.policies.authenticate.opening import open_authenticate
from mantlet.policies.authenticate.policy import Authenticate, Disabled
from mantlet.policies.authenticate.revoked import Revoked
from mantlet.upstreams.egress import Guard


def open_identity(
    config: Config,
    opened: AsyncExitStack,
    tasks: Tasks,
    guard: Guard,
    journal: Journal,
    state: State,
    known: KnownIssuers,
    revoked: Revoked | None = None,
    api_keys: ApiKeyStore | None = None,
) -> Authenticate | Disabled:
    """The step that tells who calls; raises `ConfigError`."""
    jwt = config.auth.jwt
    ring = own_ring(jwt)
    issuers = open_token_issuers(config, guard, journal, tasks, opened, known)
    authenticate = open_authenticate(
        auth_of(config),
        environment=config.environment,
        clock=SYSTEM,
        pepper=read_pepper(config.database.pepper_path),
        read_secret=read_secret,
        keys=ring if jwt.has_key else None,
        store=api_keys,
        public_url=public_url(config),
        published=resources(config),
        names_metadata=is_found(config),
        before=open_peers(config, guard, state, opened),
        more=issuers.providers,
        proofs=open_proofs(config, state),
        required_scopes=issuers.required_scopes,
        revoked=revoked,
        tell=tell,
    )
    tasks.start(every(LOOK_S, authenticate.look), "authenticate.look")
    return authenticate

"""From `auth.dpop` to the check of proofs."""

from typing import Final

from mantlet.core.clock import Clock
from mantlet.core.config_error import ConfigError
from mantlet.core.ports import State
from mantlet.policies.authenticate.dpop.nonces import Nonces
from mantlet.policies.authenticate.dpop.proofs import CheckSignature, DpopProofs
from mantlet.policies.authenticate.issuers.config import DpopConfig
from mantlet.policies.authenticate.issuers.opening import ALGORITHMS

MAX_AGE_S: Final = 300
MAX_NONCE_LIFE_S: Final = 3600


def open_dpop(
    config: DpopConfig, *, check_signature: CheckSignature, state: State, clock: Clock, public_url: str
) -> DpopProofs | None:
    """The check that `config` describes, or None when it is off. Raises `ConfigError`."""
    if not config.enabled:
        return None
    if not config.algorithms or not ALGORITHMS.issuperset(config.algorithms):
        raise ConfigError("auth.dpop.algorithms", "must be of key pairs", ", ".join(sorted(ALGORITHMS)))
    if not 1 <= config.max_age <= MAX_AGE_S or not 0 <= config.leeway <= config.max_age:
        raise ConfigError("auth.dpop", f"max_age must be 1 to {MAX_AGE_S} seconds, and leeway at most that")
    if not 10 <= config.nonce_life <= MAX_NONCE_LIFE_S:
        raise ConfigError("auth.dpop.nonce_life", f"must be 10 to {MAX_NONCE_LIFE_S} seconds")
    return DpopProofs(
        check_signature=check_signature,
        state=state,
        clock=clock,
        public_url=public_url,
        algorithms=config.algorithms,
        max_age_s=config.max_age,
        leeway_s=config.leeway,
        nonces=Nonces(state, clock, config.nonce_life) if config.nonce == "required" else None,
    )

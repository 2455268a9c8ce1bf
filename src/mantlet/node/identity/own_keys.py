"""The keys of the node's own tokens: which signs, and which are accepted while one takes over from another."""

from datetime import datetime

from mantlet.core.clock import SYSTEM
from mantlet.core.config_error import ConfigError
from mantlet.keys.overlap import Overlap
from mantlet.keys.ring import KeyRing, open_ring
from mantlet.keys.signing import KeyPair, read_pem, signing_key
from mantlet.policies.authenticate.config import JwtConfig


def own_ring(jwt: JwtConfig) -> KeyRing | Overlap | None:
    """What checks tokens; None where no key is configured. Raises `ConfigError`."""
    ring = open_ring(algorithms=jwt.algorithms, secret=jwt.secret, key_file=jwt.key_file, jwks_file=jwt.jwks_file)
    if ring is None or jwt.previous_until is None:
        return ring
    old = open_ring(
        algorithms=jwt.algorithms,
        secret=jwt.previous_secret,
        key_file=jwt.previous_key_file,
        where="auth.jwt.previous",
    )
    return ring if old is None else Overlap(ring, old, until_s(jwt.previous_until), SYSTEM)


def own_key(jwt: JwtConfig) -> KeyPair:
    """The key that signs. Raises `ConfigError` when there is none that can."""
    key = signing_key(jwt.secret, jwt.key_file, jwt.algorithms)
    if key is None or key.private is None:
        raise ConfigError("auth.server", "auth.jwt names no private key", "`mantlet tokens keygen FILE` makes one")
    return key


def published(jwt: JwtConfig) -> list[dict[str, str]]:
    """The public keys as others need them: of the key that signs, and of the one before while it is accepted."""
    keys = [own_key(jwt)]
    if jwt.previous_key_file and jwt.previous_until and SYSTEM.wall() < until_s(jwt.previous_until):
        keys.append(read_pem(jwt.previous_key_file))
    return [key.jwk for key in keys if not isinstance(key.public, bytes)]


def until_s(text: str) -> float:
    """An RFC 3339 instant as Unix time. Raises `ConfigError`."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None  # told below, like one without a zone
    if at is None or at.tzinfo is None:
        raise ConfigError("auth.jwt.previous_until", "is no instant with a time zone", "2027-01-31T00:00:00Z")
    return at.timestamp()

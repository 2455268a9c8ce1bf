"""On whose behalf an upstream is asked: what it is told of the caller (spec 4.7; FWD-01, FWD-02, OAUTH-07).

The caller's own credential never goes on, outside development. A maker is a folder file here; what it signs or seals
with is handed in.
"""

from mantlet.upstreams.identity.config import EncryptConfig, ExchangeConfig, Mode, check_identity
from mantlet.upstreams.identity.port import NODE, Field, Grant, Identity, Outgoing, Renewable
from mantlet.upstreams.identity.user.config import UserConfig

__all__ = [
    "NODE",
    "EncryptConfig",
    "ExchangeConfig",
    "Field",
    "Grant",
    "Identity",
    "Mode",
    "Outgoing",
    "Renewable",
    "UserConfig",
    "check_identity",
]

"""`secrets:`, as the config file spells it. Durations are seconds."""

from typing import Annotated

import msgspec

from mantlet.core.secret import Secret

DAY_S = 86_400


class ApproleConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the node logs in at the vault by itself."""

    role_id: str
    secret_id: Secret | None = None
    """Best as `secret_id_file`: what stands in this file opens the rest."""
    mount: str = "approle"


class VaultConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """HashiCorp Vault or OpenBao, KV version 2. `token_file` or `approle`."""

    address: str
    token: Secret | None = None
    """Best as `token_file`."""
    approle: ApproleConfig | None = None
    namespace: str = ""
    ca_file: str | None = None
    timeout: Annotated[float, msgspec.Meta(gt=0, le=60)] = 5
    refresh: Annotated[int, msgspec.Meta(ge=10)] = 300
    """How often a running node reads again, and renews its token's lease."""

    def __post_init__(self) -> None:
        if (self.token is None) == (self.approle is None):
            raise ValueError("vault: either token_file or approle says who asks")


class SecretsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where secrets come from, and how long they may be used."""

    vault: VaultConfig | None = None
    overlap: Annotated[int, msgspec.Meta(ge=0, le=90 * DAY_S)] = DAY_S
    """How long what was rotated is still accepted."""
    max_age: Annotated[int, msgspec.Meta(ge=DAY_S)] = 90 * DAY_S
    """Beyond it `mantlet secrets check` asks for a rotation."""

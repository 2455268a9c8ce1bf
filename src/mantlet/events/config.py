"""The `audit`, `telemetry` and `logging` sections."""

from typing import Literal

import msgspec

Durability = Literal["write", "fsync"]
Environment = Literal["development", "staging", "production"]


class AuditConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the audit trail is kept and how sure a record is before its call is answered.

    `durability`: `write` survives `kill -9`, `fsync` survives power loss; null means fsync in production, else write.
    `on_failure`: `refuse` work that cannot be recorded, or `continue` (outside production only).
    """

    path: str = "./var/audit"
    durability: Durability | None = None
    checkpoint_every: int = 1000
    """Records between two signed checkpoints."""
    checkpoint_interval: float = 60.0
    """Seconds after which new records get a checkpoint anyway."""
    checkpoint_path: str | None = None
    """A directory for checkpoints; null means `<path>-checkpoints`. Keep it, or a copy, where the records are not."""
    chain_key_file: str | None = None
    """32 bytes; null means `keys/audit-chain.key` beside `path`. Created on first start."""
    signing_key_file: str | None = None
    """An Ed25519 private key (PEM); null means `keys/audit-signing.key` beside `path`. Created on first start."""
    on_failure: Literal["refuse", "continue"] = "refuse"
    max_file_bytes: int = 64 * 1024 * 1024
    """A file that would grow beyond it is closed and the next begun."""
    max_pending: int = 10_000
    """Records waiting to be written; beyond it work is refused."""
    retry_interval: float = 1.0
    """Seconds between two attempts to write again after a failure."""
    export: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.checkpoint_every < 1 or self.checkpoint_interval <= 0 or self.retry_interval <= 0:
            raise ValueError("audit: checkpoint_every, checkpoint_interval and retry_interval must be above 0")
        if self.max_file_bytes < 64 * 1024 or self.max_pending < 1:
            raise ValueError("audit: max_file_bytes must be at least 65536 and max_pending at least 1")
        if self.export:
            # Accepting a destination that nothing is sent to would be a promise broken in silence.
            raise ValueError("audit.export: no exporter is built in yet; leave it empty")

    def durability_in(self, environment: Environment) -> Durability:
        """The durability that holds in `environment`."""
        return self.durability or ("fsync" if environment == "production" else "write")

    def must_record_in(self, environment: Environment) -> bool:
        """Whether work that cannot be recorded is refused. Production always refuses (AUD-02)."""
        return environment == "production" or self.on_failure == "refuse"


class TelemetryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Figures and traces."""

    metrics: bool = True
    otlp_endpoint: str | None = None
    max_series: int = 1000
    """Label combinations kept per metric; what comes beyond is counted as `other`."""


class LoggingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The log for people; the audit trail is another thing."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["json", "console"] | None = None
    """Null means console in development, else json."""
    enable_console: bool = True
    enable_file: bool = False
    file_path: str = "./var/log/mantlet.log"

import msgspec
import pytest

from mantlet.events.config import AuditConfig


def test_the_sections_take_the_promised_keys() -> None:
    config = msgspec.convert(
        {"path": "./var/audit", "durability": "write", "checkpoint_every": 1000, "signing_key_file": None,
         "on_failure": "refuse", "export": []},
        AuditConfig,
    )  # fmt: skip
    assert config == AuditConfig(durability="write")


@pytest.mark.parametrize(
    ("environment", "durability"), [("production", "fsync"), ("staging", "write"), ("development", "write")]
)
def test_production_syncs_unless_told(environment: str, durability: str) -> None:
    """AUD-02"""
    assert AuditConfig().durability_in(environment) == durability  # type: ignore[arg-type]
    assert AuditConfig(durability="write").durability_in("production") == "write"


def test_production_never_goes_on_without_records() -> None:
    """AUD-02"""
    config = AuditConfig(on_failure="continue")
    assert config.must_record_in("production")
    assert not config.must_record_in("development")
    assert AuditConfig().must_record_in("development")


@pytest.mark.parametrize(
    "wrong",
    [
        {"checkpoint_every": 0},
        {"export": ["syslog"]},
        {"max_file_bytes": 10},
        {"max_pending": 0},
        {"colour": "red"},
        {"durability": "maybe"},
    ],
)
def test_what_cannot_be_kept_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, AuditConfig)

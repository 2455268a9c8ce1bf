"""`database:` is read strictly, and nothing that is said about it holds a password."""

import msgspec
import pytest

from mantlet.core.secret import Secret
from mantlet.stores.sql.config import DatabaseConfig

P = "postgresql://"


@pytest.mark.parametrize(
    ("url", "hosts", "user", "database", "sslmode"),
    [
        (f"{P}ann@db.example/m", (("db.example", 5432),), "ann", "m", "verify-full"),
        (f"{P}ann@localhost/m", (("localhost", 5432),), "ann", "m", "disable"),
        ("postgres://ann@[::1]:6000/m", (("::1", 6000),), "ann", "m", "disable"),
        (f"{P}ann@/m", (("localhost", 5432),), "ann", "m", "disable"),
        (f"{P}ann@/m?host=/run/postgresql", (("/run/postgresql", 5432),), "ann", "m", "disable"),
        (f"{P}a%40b:p%3Aw@10.0.0.1:1/m%2Fx?sslmode=require", (("10.0.0.1", 1),), "a@b", "m/x", "require"),
        (f"{P}ann@one,two:6/m", (("one", 5432), ("two", 6)), "ann", "m", "verify-full"),
        (f"{P}ann@localhost,two/m", (("localhost", 5432), ("two", 5432)), "ann", "m", "verify-full"),
    ],
)
def test_addresses(url: str, hosts: object, user: str, database: str, sslmode: str) -> None:
    where = DatabaseConfig(url=url).postgres
    assert (where.hosts, where.user, where.database, where.sslmode) == (hosts, user, database, sslmode)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://u:hunter2@h/d", "mysql:// is not offered"),
        ("hunter2", "is not offered"),
        (f"{P}:hunter2@h/d", "no user"),
        (f"{P}h/d", "no user"),
        (f"{P}u:hunter2@h", "no database"),
        (f"{P}u:hunter2@h/", "no database"),
        (f"{P}u:hunter2@h:0/d", "port"),
        (f"{P}u:hunter2@h:٣/d", "port"),
        (f"{P}u:hunter2@h:99999/d", "port"),
        (f"{P}u:hunter2@h,,i/d", "empty host"),
        (f"{P}u:hunter2@[::1/d", "no URL"),
        (f"{P}u:hunter2@h/d?sslmode=prefer", "in clear"),
        (f"{P}u:hunter2@h/d?sslmode=none", "sslmode is one of"),
        (f"{P}u:hunter2@h/d?options=-c", "'options'"),
        (f"{P}u:hunter2@h/d?host=/x", "twice"),
    ],
)
def test_bad_addresses_are_told_without_their_password(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"database\.url") as refused:
        DatabaseConfig(url=url)
    assert said in str(refused.value)
    assert "hunter2" not in str(refused.value) or url == "hunter2"


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"password": Secret("x")}, "database.password is of PostgreSQL"),
        ({"ca_file": "x"}, "database.ca_file is of PostgreSQL"),
        ({"url": f"{P}u:p@h/d", "password": Secret("x")}, "the URL holds one too"),
        ({"url": f"{P}u@h/d", "cert_file": "x"}, "go together"),
        ({"url": f"{P}u@h/d?sslmode=disable", "ca_file": "x"}, "sslmode=disable"),
    ],
)
def test_settings_that_do_not_fit_together(section: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DatabaseConfig(**section)  # type: ignore[arg-type]


def test_nothing_that_is_shown_holds_the_password() -> None:
    config = DatabaseConfig(url=f"{P}u:hunter2@h/d")
    for text in (config.where, str(config.postgres), repr(config.postgres)):
        assert "hunter2" not in text
    assert config.where == "postgresql://u@h:5432/d"


@pytest.mark.parametrize(
    ("section", "home"),
    [
        ({"url": "sqlite:////data/m.db"}, "/data"),
        ({"url": "sqlite:////data/m.db", "folder": "/keys"}, "/keys"),
        ({"url": f"{P}u@h/d"}, "var"),
        ({"url": f"{P}u@h/d", "folder": "/keys"}, "/keys"),
    ],
)
def test_the_nodes_own_keys_are_never_in_the_database(section: dict[str, object], home: str) -> None:
    config = msgspec.convert(section, DatabaseConfig)
    assert str(config.home) == home
    assert str(config.pepper_path) == f"{home}/keys/api-keys.pepper"

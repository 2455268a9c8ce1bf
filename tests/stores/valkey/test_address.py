import pytest

from mantlet.stores.valkey.address import MAX_ADDRESSES, parse


@pytest.mark.parametrize(
    ("url", "kind", "name", "is_tls", "database"),
    [
        ("valkey://host", "single", "host:6379", False, 0),
        ("valkey://:secret@host:7000/2", "single", "host:7000", False, 2),
        ("rediss://user:secret@[::1]:7000", "single", "[::1]:7000", True, 0),
        ("valkeys://user:s%40cret@[::1]", "single", "[::1]:6379", True, 0),
        ("unix:///run/v.sock?db=4", "single", "/run/v.sock", False, 4),
        ("valkey+cluster://:secret@a:1,b,[::1]:3", "cluster", "cluster a:1,b:6379,[::1]:3", False, 0),
        ("rediss+cluster://a/0", "cluster", "cluster a:6379", True, 0),
        ("valkey+sentinel://a,b:1/main", "sentinel", "main at sentinels a:26379,b:1", False, 0),
        ("valkeys+sentinel://u:secret@a/main/3", "sentinel", "main at sentinels a:26379", True, 3),
    ],
)
def test_urls(url: str, kind: str, name: str, is_tls: bool, database: int) -> None:
    place = parse(url)
    assert (place.kind, place.name, place.is_tls, place.database) == (kind, name, is_tls, database)
    assert "secret" not in repr(place)


def test_a_password_may_hold_anything_that_is_escaped() -> None:
    place = parse("valkey://gate:p%40ss%2Fword%3A9@host")
    assert (place.user, place.password, place.addresses[0].host) == ("gate", "p@ss/word:9", "host")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://:secret@x", "known are memory://"),
        ("valkey+ring://:secret@x", "unknown scheme"),
        ("valkey+://:secret@x", "unknown scheme"),
        ("valkey://:secret@x/a", "database must be a number"),
        ("valkey://:secret@x/1/2", "more than the database"),
        ("valkey://:secret@x:99999", "port must be a number"),
        ("valkey://:secret@[::1]x", "port must be a number"),
        ("valkey://:secret@[::1", "brackets"),
        ("valkey://:secret@a,b", "several servers"),
        ("valkey+cluster://:secret@x/1", "database 0 only"),
        ("valkey+sentinel://:secret@x", "needs the master's name"),
        ("valkey+cluster://:secret@" + ",".join(["x"] * (MAX_ADDRESSES + 1)), "more than 64"),
        ("unix://", "path of a socket"),
        ("", "unknown scheme"),
    ],
)
def test_a_url_that_is_not_understood_is_refused_without_repeating_it(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        parse(url)
    assert "secret" not in str(caught.value)

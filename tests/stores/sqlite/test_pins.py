"""Pins and quarantine in SQLite, as two workers share them (TOOL-01)."""

from pathlib import Path

import pytest

from mantlet.core.definition import Definition, DefinitionKey, Held, Pin
from mantlet.core.refusal import StoreUnavailable
from mantlet.stores.sqlite.pins import SqlitePins

KEY = DefinitionKey("one", "tools", "get_time")


def definition(text: str = "{}", key: DefinitionKey = KEY) -> Definition:
    return Definition(key, text, f"sha256:{text}")


def test_what_one_worker_writes_another_reads(tmp_path: Path) -> None:
    one, two = SqlitePins(tmp_path / "a.db"), SqlitePins(tmp_path / "a.db")
    assert two.load() == ({}, {})
    assert not two.is_changed()
    pin, held = Pin(definition(), 5.0, "first use"), Held(definition("1"), "it has changed", 6.0)
    one.pin([pin], is_decided=False)
    one.hold(held)
    assert two.is_changed()
    assert two.load() == ({KEY: pin}, {KEY: held})
    assert not two.is_changed()
    one.close()
    two.close()


def test_the_first_use_stands_and_a_decision_replaces_it_and_ends_the_quarantine(tmp_path: Path) -> None:
    store = SqlitePins(tmp_path / "a.db")
    store.pin([Pin(definition(), 5.0, "first")], is_decided=False)
    store.pin([Pin(definition("2"), 6.0, "second")], is_decided=False)
    store.hold(Held(definition("2"), "why", 6.0))
    assert store.load()[0][KEY].by == "first"
    store.pin([Pin(definition("2"), 7.0, "olga")], is_decided=True)
    assert store.load() == ({KEY: Pin(definition("2"), 7.0, "olga")}, {})
    store.close()


def test_what_is_rejected_is_so_for_all(tmp_path: Path) -> None:
    store = SqlitePins(tmp_path / "a.db")
    store.hold(Held(definition(), "why", 6.0))
    store.hold(Held(definition(), "why", 6.0, is_rejected=True))
    assert store.load()[1][KEY].is_rejected
    store.release(KEY)
    assert store.load() == ({}, {})
    store.close()


def test_a_database_that_fails_is_no_yes(tmp_path: Path) -> None:
    store = SqlitePins(tmp_path / "a.db")
    store.close()
    for ask in (store.load, store.is_changed, lambda: store.release(KEY)):
        with pytest.raises(StoreUnavailable):
            ask()

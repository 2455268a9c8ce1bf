import pytest

from mantlet.policies.aggregate import names
from mantlet.policies.aggregate.names import Owned, assign

SERVERS = ("time", "docs", "a")
KNOWN = {"echo": Owned("time", "echo"), "Search": Owned("docs", "Search")}


@pytest.mark.parametrize(
    ("server", "name", "exposed"),
    [
        ("time", "echo", "echo"),
        ("docs", "echo", "docs__echo"),
        ("docs", "new", "new"),
        ("docs", "docs__own", "docs__own"),
        ("docs", "other__thing", "other__thing"),
    ],
)
def test_the_first_keeps_its_name_and_a_newcomer_gets_a_prefix(server: str, name: str, exposed: str) -> None:
    """TOOL-02"""
    given, withheld = assign(KNOWN, server, [name], SERVERS)
    assert given == {exposed: Owned(server, name)}
    assert not withheld


@pytest.mark.parametrize(
    ("server", "name", "why"),
    [
        ("docs", "Echo", "looks like echo"),
        ("docs", "ECHO", "looks like echo"),
        ("docs", "ech0", "looks like echo"),
        ("docs", "search", "looks like Search"),
        ("time", "5earch", "looks like Search"),
        ("docs", "time__echo", "pretends to the prefix of time"),
        ("docs", "time__new", "pretends to the prefix of time"),
        ("docs", "\u0435cho", "characters"),  # Cyrillic
        ("docs", "echo\u200b", "characters"),
        ("docs", "echo ", "characters"),
        ("docs", "echo\n", "characters"),
        ("docs", "", "characters"),
        ("docs", "x" * 129, "characters"),
        ("docs", "\uff45cho", "characters"),
    ],
)
def test_a_look_alike_or_a_forged_prefix_is_withheld(server: str, name: str, why: str) -> None:
    """TOOL-02"""
    given, withheld = assign(KNOWN, server, [name], SERVERS)
    assert given == {}
    assert why in withheld[0].why


def test_the_same_question_gets_the_same_answer_and_changes_nothing() -> None:
    before = dict(KNOWN)
    first = assign(KNOWN, "docs", ["echo", "new", "New"], SERVERS)
    assert first == assign(KNOWN, "docs", ["echo", "new", "New"], SERVERS)
    assert before == KNOWN
    later, _ = assign({**KNOWN, **first[0]}, "docs", ["new", "echo"], SERVERS)
    assert later == {"new": Owned("docs", "new"), "docs__echo": Owned("docs", "echo")}


def test_a_name_whose_both_forms_are_taken_is_withheld() -> None:
    known = {"echo": Owned("time", "echo"), "docs__echo": Owned("a", "x")}
    assert assign(known, "docs", ["echo"], SERVERS)[0] == {}


def test_a_prefixed_name_stays_short() -> None:
    known = {"n" * 128: Owned("time", "n" * 128)}
    assert assign(known, "docs", ["n" * 128], SERVERS)[0] == {}


def test_a_server_cannot_fill_the_table_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MAX_NAMES", 3)
    known = {"x": Owned("docs", "x"), "echo": Owned("time", "echo")}
    given, withheld = assign(known, "docs", ["aa", "bb", "cc", "x"], SERVERS)
    assert set(given) == {"aa", "bb", "x"}
    assert [item.name for item in withheld] == ["cc"]

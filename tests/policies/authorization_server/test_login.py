"""Families of refresh tokens, decided by tables."""

import pytest

from mantlet.policies.authorization_server.grant import Grant
from mantlet.policies.authorization_server.login import Login, read_refresh_token, refresh_token, step

KEY = b"k" * 32
FAMILY = "f" * 22
GRANT = Grant(
    client_id="cli", subject="ada", tenant="default", kind="user", roles=("user",), scopes=(), audience="https://n/mcp"
)


def login(number: int = 3, *, used_at_s: float = 100.0, expires_at_s: float = 1000.0, ended_at_s: float = 0.0) -> Login:
    return Login(FAMILY, GRANT, number, 0.0, used_at_s, expires_at_s, ended_at_s)


@pytest.mark.parametrize(
    ("known", "number", "now_s", "expected"),
    [
        (login(), 3, 101.0, "next"),
        (login(), 2, 101.0, "spent"),
        (login(), 1, 101.0, "spent"),
        (login(), 4, 101.0, "over"),
        (login(), 3, 150.0, "over"),
        (login(used_at_s=990.0), 3, 1000.0, "over"),
        (login(used_at_s=990.0), 2, 1000.0, "over"),
        (login(ended_at_s=90.0), 3, 101.0, "over"),
        (login(ended_at_s=90.0), 2, 101.0, "over"),
        (None, 1, 101.0, "over"),
    ],
)
def test_only_the_newest_number_of_a_login_that_goes_on_refreshes(known, number, now_s, expected) -> None:
    """TOK-13"""
    assert step(known, number, now_s=now_s, idle_s=50.0) == expected


def test_a_token_says_its_family_and_number_to_the_node_that_made_it_alone() -> None:
    token = refresh_token(FAMILY, 7, KEY)
    assert read_refresh_token(token, KEY) == (FAMILY, 7)
    assert read_refresh_token(token, b"x" * 32) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token.replace("_7_", "_8_"),
        lambda token: token.replace("_7_", "_07_"),
        lambda token: token.replace("_7_", "_\u0667_"),
        lambda token: token.replace("f", "g", 1),
        lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"),
        lambda token: token + "\n",
        lambda token: token + "x",
        lambda token: "",
        lambda token: "x" * 100_000,
    ],
)
def test_nothing_else_is_a_refresh_token(change) -> None:
    """TOK-13: an invented number of a known family neither refreshes nor ends the login."""
    token = refresh_token(FAMILY, 7, KEY)
    assert read_refresh_token(change(token), KEY) is None

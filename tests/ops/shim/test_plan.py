from pathlib import Path

import pytest

from mantlet.ops.shim.plan import Plan, is_well, words_of

COMMAND = ("server", "--flag")


def test_a_container_is_entered_by_its_engine() -> None:
    plan = Plan(name="t", command=COMMAND, container="tools", engine="podman")
    assert plan.primary == ("podman", "exec", "--interactive", "tools", "server", "--flag")
    assert plan.look[:3] == ("podman", "container", "inspect")


def test_without_a_container_nothing_is_asked_unless_told() -> None:
    assert Plan(name="t", command=COMMAND).look == ()
    assert Plan(name="t", command=COMMAND, container="c", health=("true",)).look == ("true",)


@pytest.mark.parametrize(
    ("code", "said", "well"),
    [
        (0, "true ", True),
        (0, "true healthy\n", True),
        (0, "true starting", False),
        (0, "true unhealthy", False),
        (0, "false ", False),
        (0, "", False),
        (1, "true", False),
    ],
)
def test_what_is_not_clearly_well_is_not_well(code: int, said: str, well: bool) -> None:
    assert is_well(Plan(name="t", command=COMMAND, container="c"), code, said) is well


def test_a_health_command_of_ones_own_speaks_by_its_exit_code() -> None:
    plan = Plan(name="t", command=COMMAND, health=("check",))
    assert is_well(plan, 0, "")
    assert not is_well(plan, 124, "")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "../x"},
        {"name": ""},
        {"command": ()},
        {"container": "-v"},
        {"container": "a b"},
        {"engine": "sh"},
        {"allow": frozenset({"exec"})},
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    """MCP-08"""
    with pytest.raises(ValueError):
        Plan(**{"name": "t", "command": COMMAND, "lock_folder": Path("/x"), **wrong})  # type: ignore[arg-type]


def test_words_are_split_and_never_run_by_a_shell() -> None:
    assert words_of("a 'b c' $(id)", "--fallback") == ("a", "b c", "$(id)")
    with pytest.raises(ValueError, match="--fallback"):
        words_of("a 'b", "--fallback")

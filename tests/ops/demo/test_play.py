"""The demo's exit code: 0 only when everything that it promises was seen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mantlet.node.config import Config, load
from mantlet.ops.demo import play
from mantlet.ops.demo import tour as tours
from mantlet.ops.demo.plan import Plan, prepare
from mantlet.ops.demo.play import told
from mantlet.ops.demo.proof import prove


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return prepare(tmp_path, "http://127.0.0.1:4/mcp", 5, 6)


@pytest.fixture
def config(plan: Plan) -> Config:
    return load([str(plan.config)], {}).config


def served(monkeypatch: pytest.MonkeyPatch, *, is_ready: bool = True, code: int = 0) -> None:
    """A gateway that only says that it is ready."""
    import asyncio

    def serve(config: Config, ready: Callable[[Any], Any]) -> int:
        if is_ready:
            asyncio.run(ready(None))
        return code

    monkeypatch.setattr(play, "serve", serve)


async def nothing(*_: object) -> None:
    """Whatever is waited for is there."""


async def wrong(*_: object) -> str:
    raise ExceptionGroup("two", [ExceptionGroup("one", [tours.TourFailed("add gave 41")]), OSError("gone")])


@pytest.mark.parametrize("once", [True, False])
def test_servers_that_do_not_open_are_a_failure(monkeypatch, capsys, plan, config, once) -> None:
    served(monkeypatch)
    monkeypatch.setattr(play, "until_open", wrong)
    assert (play._once if once else play._until_told)(plan, config) == 1
    assert "Mantlet is ready" not in capsys.readouterr().out


def test_a_wrong_answer_is_a_failure_and_told(monkeypatch, capsys, plan, config) -> None:
    served(monkeypatch)
    monkeypatch.setattr(play, "until_open", nothing)
    monkeypatch.setattr(tours, "tour", wrong)
    assert play._once(plan, config) == 1
    assert capsys.readouterr().out == "failed: TourFailed: add gave 41\nfailed: OSError: gone\n"


def test_a_gateway_that_never_was_ready_is_a_failure(monkeypatch, plan, config) -> None:
    served(monkeypatch, is_ready=False)
    assert play._once(plan, config) == 1


def test_a_gateway_that_does_not_start_gives_its_own_exit_code(monkeypatch, plan, config) -> None:
    served(monkeypatch, is_ready=False, code=3)
    assert play._once(plan, config) == 3
    assert play._until_told(plan, config) == 3


def test_ctrl_c_before_the_demo_is_ready_is_no_failure(monkeypatch, plan, config) -> None:
    served(monkeypatch, is_ready=False)
    assert play._until_told(plan, config) == 0


def test_no_record_or_no_trail_is_a_failure(config) -> None:
    from mantlet.events.audit.keys import load_or_create

    load_or_create(config.audit)
    said: list[str] = []
    assert prove(config, "r-1", said.append) == 1
    assert "MISSING" in said[0]


def test_a_group_is_told_failure_by_failure() -> None:
    assert told(ValueError("x")) == ["ValueError: x"]

from typing import Any

import msgspec
import pytest

from mantlet.core.caller import Caller
from mantlet.policies.kill.table import Kill, Switch, decode, encode, stopped

KILL = Kill("why", "root", 1.0)
BOT = Caller("bot", "iss", "jwt", "t", "agent")
ANN = Caller("ann", "https://idp/x", "jwt", "t")
FOR_ANN = Caller("ann", "https://idp/x", "jwt", "t", act=("bot", "planner"))


def off(*switches: tuple[Any, str]) -> Any:
    return stopped({Switch(*switch): KILL for switch in switches})


@pytest.mark.parametrize(
    ("switch", "caller", "is_stopped"),
    [
        (("caller", "t/https://idp/x/ann"), ANN, True),
        (("caller", "t/https://idp/x/ann"), FOR_ANN, True),
        (("caller", "t/https://idp/x/an"), ANN, False),
        (("caller", "other/https://idp/x/ann"), ANN, False),
        (("agent", "bot"), BOT, True),
        (("agent", "bot"), FOR_ANN, True),
        (("agent", "planner"), FOR_ANN, True),
        (("agent", "bot"), ANN, False),
        (("agent", "ann"), ANN, False),
        (("agent", "ann"), Caller("ann", "i", "api-key", kind="service"), True),
        (("tool", "bot"), BOT, False),
    ],
)
def test_which_callers_a_switch_stops(switch: tuple[Any, str], caller: Caller, is_stopped: bool) -> None:
    assert off(switch).caller(caller) == (Switch(*switch) if is_stopped else None)


@pytest.mark.parametrize(
    ("switch", "call", "is_stopped"),
    [
        (("tool", "echo"), ("one", "tools/call", "echo"), True),
        (("tool", "one__echo"), ("one", "tools/call", "echo"), True),
        (("tool", "two__echo"), ("one", "tools/call", "echo"), False),
        (("tool", "echo"), ("one", "prompts/get", "echo"), False),
        (("tool", "echo"), ("one", "tasks/result", "echo"), True),  # a task is a call that goes on
        (("tool", "echo"), ("one", "tasks/get", "echo"), True),
        (("tool", "echo"), ("one", "tasks/update", "echo"), True),
        (("tool", "echo"), ("one", "tasks/cancel", "echo"), False),
        (("upstream", "one"), ("one", "tools/call", "echo"), True),
        (("upstream", "one"), ("one", "initialize", ""), True),
        (("upstream", "one"), ("one", "", ""), True),
        (("upstream", "one"), ("one", "GET", "/status"), True),
        (("upstream", "one"), ("two", "tools/call", "echo"), False),
        (("caller", "one"), ("one", "tools/call", "echo"), False),
    ],
)
def test_which_calls_a_switch_stops(switch: tuple[Any, str], call: tuple[str, str, str], is_stopped: bool) -> None:
    assert off(switch).target(*call) == (Switch(*switch) if is_stopped else None)


def test_a_table_is_read_as_it_was_written() -> None:
    table = {Switch("tool", "a__b"): KILL, Switch("caller", "t/i/ü"): Kill("", "", 2.5)}
    assert decode(encode(table)) == table
    assert decode(None) == {}


@pytest.mark.parametrize("text", [b"", b"{}", b'[["other","x",["","",1]]]', b'[["tool"]]', b"\xff"])
def test_a_table_that_cannot_be_read_is_not_taken_for_an_empty_one(text: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError)):
        decode(text)

from typing import Any

import pytest
from tests.policies.support import ALICE, BOB, META, call

from mantlet.core.caller import Caller
from mantlet.policies.approvals.asked import Decision, Request, is_own, request_of, standing


def asked(params: dict[str, Any] | None = None, *, definition: str = "sha256:d", **more: Any) -> Request:
    params = {"name": "rm", "arguments": {"path": "/a", "deep": [1, {"b": 2, "a": 1}]}} if params is None else params
    return request_of(call(params=params, **more), definition, new_id="r", now_s=100.0, timeout_s=50.0)


ARGUMENTS = {"path": "/a", "deep": [1, {"b": 2, "a": 1}]}


@pytest.mark.parametrize(
    "same",
    [
        {"params": {"name": "rm", "arguments": {"deep": [1, {"a": 1, "b": 2}], "path": "/a"}}},
        {"params": {"name": "rm", "arguments": {**ARGUMENTS, "deep": [1.0, {"a": 1, "b": 2}]}}},
        {"params": {"name": "rm", "arguments": ARGUMENTS, "_meta": {**META, "progressToken": 7}}},
        {"raw_id": b'"other"'},
        {"caller": Caller("alice", "iss", "jwt", credential_id="other")},
    ],
    ids=["order", "number", "progress", "id", "credential"],
)
def test_the_same_call_in_other_clothes_is_the_same(same: dict[str, Any]) -> None:
    assert asked(**same).digest == asked().digest


@pytest.mark.parametrize(
    "other",
    [
        {"params": {"name": "rm", "arguments": {**ARGUMENTS, "path": "/b"}}},
        {"params": {"name": "rm", "arguments": {**ARGUMENTS, "path": "/a\u200b"}}},
        {"params": {"name": "rm", "arguments": {**ARGUMENTS, "more": None}}},
        {"params": {"name": "rm", "arguments": ARGUMENTS, "task": {"ttl": 1}}},
        {"params": {"name": "rm", "arguments": ARGUMENTS, "_meta": {"vendor/force": True}}},
        {"params": {"name": "rm2", "arguments": ARGUMENTS}},
        {"params": {"name": "rm"}},
        {"server": "two"},
        {"caller": BOB},
        {"caller": Caller("alice", "other", "bearer")},
        {"caller": Caller("alice", "iss", "bearer", tenant="t")},
        {"caller": Caller("alice", "iss", "bearer", act=("bot",))},
        {"definition": "sha256:e"},
        {"definition": ""},
    ],
    ids=repr,
)
def test_another_caller_tool_argument_or_definition_is_another_call(other: dict[str, Any]) -> None:
    """AUTHZ-09"""
    assert asked(**other).digest != asked().digest


def test_more_than_a_human_reads_cannot_be_asked() -> None:
    with pytest.raises(ValueError):
        asked({"name": "rm", "arguments": {"x": "y" * 40_000}})


YES, NO = Decision(True, "root", 110.0, 160.0), Decision(False, "root", 110.0, 160.0)


@pytest.mark.parametrize(
    ("decision", "is_used", "now_s", "state"),
    [
        (None, False, 149.0, "pending"),
        (None, False, 150.0, "expired"),
        (YES, False, 159.0, "approved"),
        (YES, False, 160.0, "expired"),
        (YES, True, 120.0, "used"),
        (NO, False, 120.0, "denied"),
        (NO, False, 1000.0, "denied"),
    ],
)
def test_how_a_request_stands(decision: Decision | None, is_used: bool, now_s: float, state: str) -> None:
    """AUTHZ-09"""
    assert standing(asked(), decision, is_used, now_s) == state


@pytest.mark.parametrize(
    ("approver", "is_theirs"),
    [
        (ALICE, True),
        (Caller("alice", "mantlet:api-key", "api-key", roles=frozenset({"admin"})), True),
        (BOB, False),
        (Caller("alice", "iss", "jwt", tenant="other"), False),
        (Caller("root", "iss", "jwt", act=("alice",)), True),
        (Caller("bot", "iss", "jwt"), True),
    ],
)
def test_who_asks_cannot_answer(approver: Caller, is_theirs: bool) -> None:
    """AUTHZ-09"""
    request = asked(caller=Caller("alice", "iss", "jwt", act=("bot",)))
    assert is_own(request, approver) == is_theirs


def test_who_asks_by_way_of_another_node_cannot_answer_here() -> None:
    """AUTHZ-09"""
    request = asked(caller=Caller("https://iss#alice", "https://edge", "forwarded", act=("edge-1",)))
    assert is_own(request, ALICE)
    assert is_own(asked(caller=ALICE), Caller("https://iss#alice", "https://edge", "forwarded"))
    assert not is_own(request, BOB)

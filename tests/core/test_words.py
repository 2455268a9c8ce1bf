"""The small words of `core`: what each promises to those who rely on it."""

import asyncio
import traceback

import pytest

from mantlet.core.call import Reply
from mantlet.core.caller import Caller
from mantlet.core.headers import Headers
from mantlet.core.policy import chain
from mantlet.core.secret import Secret
from mantlet.core.tasks import Tasks
from mantlet.core.weak_secret import why_weak


def test_a_principal_is_tenant_issuer_and_subject_and_no_separator_can_be_forged() -> None:
    """AUTHN-09"""
    assert Caller("c", "b", "m", "a").key != Caller("b/c", "", "m", "a").key
    assert Caller("s", "one", "m").key != Caller("s", "two", "m").key


def test_headers_answer_for_the_first_and_name_what_stands_twice() -> None:
    headers = Headers([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])
    assert headers.get(b"a") == b"1"
    assert headers.all(b"a") == [b"1", b"3"]
    assert headers.repeated(frozenset({b"a"})) == b"a"
    assert headers.repeated(frozenset({b"b"})) is None
    assert headers.has_any(frozenset({b"b", b"z"}))
    assert not headers.has_any(frozenset({b"z"}))


def test_headers_show_names_and_no_values() -> None:
    """AUD-06"""
    assert "canary" not in repr(Headers([(b"authorization", b"Bearer canary")]))


def test_a_secret_shows_as_a_mask_everywhere_but_where_it_is_revealed() -> None:
    """AUD-06"""
    secret = Secret("canary")
    assert {repr(secret), str(secret), f"{secret}", f"{secret!r}"} == {"***"}
    with pytest.raises(ValueError, match=r"\*\*\*") as raised:
        raise ValueError(secret)
    assert "canary" not in "".join(traceback.format_exception(raised.value))
    assert secret.reveal() == "canary"
    assert secret == Secret("canary")
    assert secret != Secret("other")
    with pytest.raises(TypeError) as refused:
        Secret(b"canary")  # type: ignore[arg-type]
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    "secret",
    ["", "short", "x" * 64, "a-string-secret-at-least-256-bits-long", "-----BEGIN PUBLIC KEY-----" + "ab12" * 20,
     "Pq8vT2mLp4Rk9Zs1Pq8vT2mLp4Rk9Zs1", "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA=="],
)  # fmt: skip
def test_secrets_the_world_knows_are_weak(secret: str) -> None:
    """TOK-12"""
    assert why_weak(secret)


def test_a_random_secret_is_not_weak() -> None:
    assert why_weak("mk_Qx8vT2mLp4Rk_9Zs1bUe7WcYh3NdGa6JfXo5Ki0tBl2rVqM") == ""


async def test_policies_see_an_item_in_order_and_its_reply_in_reverse() -> None:
    seen: list[str] = []

    def step(name: str):  # type: ignore[no-untyped-def]
        async def policy(item, onward, /):  # type: ignore[no-untyped-def]
            seen.append(name)
            reply = await onward(item)
            seen.append(name.upper())
            return reply

        return policy

    async def last(item: object) -> Reply:
        seen.append("last")
        return Reply(200, [])

    await chain([step("a"), step("b")], last)(object())
    assert seen == ["a", "b", "last", "B", "A"]


async def test_tasks_are_held_until_they_end_and_failures_are_told_at_once() -> None:
    told: list[BaseException] = []
    tasks = Tasks(told.append)
    gate = asyncio.Event()

    async def fail() -> None:
        await gate.wait()
        raise ValueError("boom")

    task = tasks.start(fail(), "fail")
    stuck = tasks.start(asyncio.Event().wait(), "stuck")
    assert len(tasks) == 2
    gate.set()
    await asyncio.wait({task})
    await tasks.close()
    assert [str(error) for error in told] == ["boom"]
    assert stuck.cancelled()
    assert len(tasks) == 0

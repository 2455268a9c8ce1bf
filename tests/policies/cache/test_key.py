"""Two questions have one key only if they are the same question (CACHE-01)."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.policies.support import META

from mantlet.core.caller import Caller
from mantlet.policies.cache.key import asked, fingerprint, key_of
from mantlet.wire.canonical import canonical

TEXTS = st.text(max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
SETS = st.frozensets(TEXTS, max_size=2)
CALLERS = st.builds(
    Caller,
    st.sampled_from(["alice", "bob", "a,b", '"']),
    st.sampled_from(["iss", "iss2"]),
    st.sampled_from(["bearer", "api_key"]),
    tenant=st.sampled_from(["default", "t2"]),
    kind=st.sampled_from(["user", "agent"]),
    roles=SETS,
    scopes=SETS,
    credential_id=st.sampled_from(["", "a", "b"]),
    act=st.lists(TEXTS, max_size=2).map(tuple),
    expires_at_s=st.sampled_from([None, 1.0, 2.0]),
    issued_at_s=st.sampled_from([0.0, 1.0]),
)


def one_text(parts: tuple[Any, ...]) -> str:
    """1 and 1.0 may be two keys, so they are two here."""
    return json.dumps(parts, sort_keys=True)


@given(st.tuples(TEXTS, TEXTS, VALUES), st.tuples(TEXTS, TEXTS, VALUES))
def test_keys_are_equal_where_questions_are(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    assert (key_of(*one) == key_of(*other)) == (one_text(one) == one_text(other))


@given(VALUES)
def test_the_order_of_members_is_no_part_of_the_question(value: Any) -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: turned(value[name]) for name in reversed(value)}
        return [turned(item) for item in value] if isinstance(value, list) else value

    assert key_of(value) == key_of(turned(value))
    assert canonical(value) == canonical(turned(value))


@given(CALLERS, CALLERS)
def test_no_two_authorization_contexts_have_one_fingerprint(one: Caller, other: Caller) -> None:
    def context(caller: Caller) -> tuple[Any, ...]:
        return caller.key, caller.rights, caller.method, caller.credential_id, caller.expires_at_s, caller.issued_at_s

    assert (fingerprint(one) == fingerprint(other)) == (context(one) == context(other))


@given(CALLERS, CALLERS, st.tuples(TEXTS, VALUES))
def test_a_private_answer_is_found_by_nobody_else(one: Caller, other: Caller, question: tuple[Any, ...]) -> None:
    keys = [key_of(fingerprint(caller), caller.tenant, *question) for caller in (one, other)]
    assert (keys[0] == keys[1]) == (fingerprint(one) == fingerprint(other))


def test_what_is_no_integer_of_a_machine_or_no_text_of_unicode_has_a_key_too() -> None:
    assert key_of(10**40) != key_of(10**40 + 1)
    assert key_of("\ud800") != key_of("\ud801") != key_of("?")


def test_parts_never_run_together() -> None:
    keys = [key_of("a", "b"), key_of("ab", ""), key_of("a,b"), key_of('a","b'), key_of(["a", "b"]), key_of(("a",), "b")]
    assert len(set(keys)) == len(keys)


def test_what_says_how_a_call_is_followed_is_not_asked() -> None:
    params = {"name": "t", "_meta": META}
    assert asked(params) is params
    traced = {"name": "t", "_meta": {**META, "traceparent": "00-1", "tracestate": "x", "progressToken": 1}}
    assert asked(traced) == params
    assert "traceparent" in traced["_meta"], "the call itself is not touched"

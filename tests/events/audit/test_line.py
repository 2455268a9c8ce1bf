import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mantlet.core.record import Record, Trail
from mantlet.events.audit.chain import MAX_LINE_BYTES
from mantlet.events.audit.line import MAX_BODY_BYTES, MAX_FIELD_CHARS, MAX_NOTES, Stamps, encode

TS = "2026-11-21T10:00:00.000001Z"
anything = st.text(st.characters(codec=None), max_size=60)


def record(**fields: Any) -> Record:
    trail = Trail("r", "http", "192.0.2.1", 1.0)
    for name, value in fields.items():
        setattr(trail, name, value)
    return Record(trail)


@given(anything, anything, st.dictionaries(anything, anything, max_size=5))
def test_one_input_is_one_printable_line(obj: str, client_request_id: str, notes: dict[str, str]) -> None:
    """AUD-05"""
    body = encode(record(object=obj, client_request_id=client_request_id, notes=notes), TS)
    assert all(0x20 <= octet < 0x7F for octet in body)
    assert body.startswith(b'{"ts":"')
    entry = json.loads(body)
    assert entry["request_id"] == "r"
    assert "mac" not in entry


@pytest.mark.parametrize(
    "char", ["\n", "\r", "\0", "\x1b", "\x7f", "\x85", "\u2028", "\u202e", "\u2066", "\ud800", "\U000e0041"]
)
def test_characters_that_lie_stand_escaped(char: str) -> None:
    """AUD-05"""
    body = encode(record(object=f"a{char}b"), TS)
    assert body.isascii()
    assert b"a\\" in body
    assert json.loads(body)["object"] == f"a{char}b"


def test_a_forged_record_stays_a_value() -> None:
    """AUD-05, CWE-117"""
    evil = 'x","verdict":"allow","mac":"00"}\n{"seq":9,"ts":"'
    entry = json.loads(encode(record(object=evil), TS))
    assert entry["object"] == evil


def test_fields_and_records_are_capped() -> None:
    """AUD-05"""
    entry = json.loads(encode(record(object="a" * 100_000), TS))
    assert len(entry["object"]) == MAX_FIELD_CHARS
    assert entry["object"].endswith("…[cut]")
    big = "\U000e0041" * 100_000
    names = [name for name in Trail.__slots__ if name not in ("at_s", "notes", "rpc_id")]
    body = encode(record(**dict.fromkeys(names, big), notes={f"{n}{big}": big for n in range(100)}), TS)
    assert len(body) <= MAX_BODY_BYTES < MAX_LINE_BYTES
    many = json.loads(encode(record(notes={f"n{n}": "é" for n in range(100)}), TS))
    assert len(many["notes"]) == MAX_NOTES + 1


JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLWNhbmFyeQ"
CANARY = "canary-4f1c9b72"
API_KEY = "mk_0a1B2c3D4e5F_" + "c2lnbmF0dXJlLWNhbmFyeQ".ljust(43, "x")


@pytest.mark.parametrize("field", ["action", "object", "client_request_id", "rule", "credential"])
@pytest.mark.parametrize(
    "text",
    [
        JWT,
        f"time__{JWT}",
        API_KEY,
        f"time__{API_KEY}",
        f"No tool {API_KEY}.",
        f"Bearer {CANARY}",
        f"Authorization: Bearer {CANARY}",
        f"authorization: basic {CANARY}",
        f"https://user:{CANARY}@host.example/x",
        f"https://host.example/x?access_token={CANARY}&y=1",
        f'{{"api_key": "{CANARY}"}}',
        f"password={CANARY} next",
        f"X-API-Key: {CANARY}",
        f"GET /cb?code={CANARY}",
        f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----",
    ],
)
def test_credentials_never_reach_a_record(field: str, text: str) -> None:
    """AUD-06"""
    for body in (
        encode(record(**{field: text}), TS),
        encode(record(notes={"shadow": text}), TS),
        encode(Record(Trail("r", "http", "192.0.2.1", 1.0), why=text), TS),
    ):
        assert CANARY.encode() not in body
        assert b"c2lnbmF0dXJlLWNhbmFyeQ" not in body


def test_of_a_key_its_id_stays() -> None:
    """AUD-06: the id may be shown, and says which key to revoke."""
    assert json.loads(encode(record(object=API_KEY), TS))["object"] == "mk_0a1B2c3D4e5F_[masked]"


def test_a_key_that_is_cut_shows_no_part_of_its_secret() -> None:
    """AUD-06"""
    for before in range(2 * MAX_FIELD_CHARS - 80, 2 * MAX_FIELD_CHARS):
        # Masked text before it shrinks, so that what stood at the cut comes to be shown.
        filler = (f"{JWT} " * 28).ljust(before)
        assert b"c2lnbmF0" not in encode(record(object=filler + API_KEY), TS)


def test_a_note_under_a_secret_name_is_masked() -> None:
    """AUD-06"""
    entry = json.loads(encode(record(notes={"client_secret": CANARY, "shadow": "denied by no-shell"}), TS))
    assert entry["notes"] == {"client_secret": "[masked]", "shadow": "denied by no-shell"}


def test_ordinary_words_are_not_masked() -> None:
    entry = json.loads(encode(record(object="count_tokens", rule="keys and tokens"), TS))
    assert (entry["object"], entry["rule"]) == ("count_tokens", "keys and tokens")


@pytest.mark.parametrize(
    ("at_s", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000000Z"),
        (1_700_000_000.25, "2023-11-14T22:13:20.250000Z"),
        (1_700_000_000.999_999, "2023-11-14T22:13:20.999999Z"),
        (1_700_000_001.0, "2023-11-14T22:13:21.000000Z"),
    ],
)
def test_stamps_are_utc_with_microseconds(at_s: float, text: str) -> None:
    stamps = Stamps()
    assert stamps.stamp(at_s) == text
    assert stamps.stamp(at_s) == text

"""From a record to the bytes of its line: one input, one line (AUD-05).

The line is printable ASCII: control, bidirectional and separator characters, and everything else outside it, stand as
`\\uXXXX`, so that neither a terminal nor a log viewer can be made to show what was not written. Fields and the whole
record are capped. Nearly every record needs none of this, so it is looked for first and done only then.
"""

import datetime
import json
from collections.abc import Mapping
from typing import Final

import msgspec

from mantlet.core.record import Record
from mantlet.events import scrub

MAX_FIELD_CHARS: Final = 1024
MAX_NOTES: Final = 32
MAX_BODY_BYTES: Final = 12 * 1024
_CUT: Final = "…[cut]"


class Line(msgspec.Struct, omit_defaults=True):
    """The members of a record in their order, without `seq` and `mac`. What is empty is left out."""

    ts: str
    event: str
    verdict: str
    severity: str = ""
    reason: str = ""
    why: str = ""
    status: int = 0
    duration_ms: float = 0.0
    request_id: str = ""
    door: str = ""
    peer: str = ""
    action: str = ""
    object: str = ""
    server: str = ""
    principal: str = ""
    tenant: str = ""
    credential: str = ""
    authentication: str = ""
    rule: str = ""
    era: str = ""
    trace_id: str = ""
    client_request_id: str = ""
    notes: Mapping[str, str] = {}


_ENCODER: Final = msgspec.json.Encoder()


class Stamps:
    """RFC 3339 stamps in UTC with microseconds; the text of the running second is kept (0.4 us instead of 1.3)."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def stamp(self, at_s: float) -> str:
        """`at_s` (Unix time) as text."""
        micros = int(at_s * 1_000_000)
        second, micros = divmod(micros, 1_000_000)
        if second != self._second:
            self._text = datetime.datetime.fromtimestamp(second, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._second = second
        return f"{self._text}.{micros:06d}Z"


def encode(record: Record, ts: str) -> bytes:
    """The JSON object of `record`, beginning with `ts`."""
    t = record.trail
    line = Line(
        ts,
        record.event,
        record.verdict,
        record.severity,
        record.reason,
        record.why,
        record.status,
        round(record.duration_s * 1000, 3),
        t.request_id,
        t.door,
        t.peer,
        t.action,
        t.object,
        t.server,
        t.principal,
        t.tenant,
        t.credential,
        t.authentication,
        t.rule,
        t.era,
        t.trace_id,
        t.client_request_id,
        t.notes,
    )
    try:
        body = _ENCODER.encode(line)
    except (UnicodeEncodeError, TypeError):  # a lone surrogate, or a note that is no text
        return _careful(line)
    # A body below the cap of one field has no field above it; the encoder has escaped what is below a space.
    if len(body) > MAX_FIELD_CHARS or not body.isascii() or b"\x7f" in body or _may_leak(record):
        return _careful(line)
    return body


def _may_leak(record: Record) -> bool:
    # What others wrote or a bug could fill with a credential; the other fields are our own words.
    t = record.trail
    text = f"{t.action} {t.object} {record.why} {t.client_request_id} {t.rule} {t.credential}"
    if t.notes:
        text += f" {t.notes}"
    return scrub.may_hold_credential(text)


def _careful(line: Line) -> bytes:
    values: dict[str, object] = {}
    for name in line.__struct_fields__[:-1]:
        value = getattr(line, name)
        if isinstance(value, int | float):
            if value:
                values[name] = value
        elif value or name in ("ts", "event", "verdict"):
            values[name] = _clean(str(value))
    notes = list(line.notes.items())
    cleaned = {_clean(str(key)): _clean(str(value)) for key, value in notes[:MAX_NOTES]}
    # A note whose very name says that it is secret keeps its name only.
    cleaned = {key: scrub.scrub(f"{key}={value}").partition("=")[2] for key, value in cleaned.items()}
    if len(notes) > MAX_NOTES:
        cleaned["notes_cut"] = str(len(notes) - MAX_NOTES)
    if cleaned:
        values["notes"] = cleaned
    body = _ascii(values)
    if len(body) > MAX_BODY_BYTES:
        values["notes"] = {"notes_cut": str(len(notes))}
        body = _ascii(values)
    if len(body) > MAX_BODY_BYTES:
        values = {name: value[:40] if isinstance(value, str) else value for name, value in values.items()}
        body = _ascii(values)
    return body


def _clean(text: str) -> str:
    if len(text) > 2 * MAX_FIELD_CHARS:  # before the patterns: their time must not grow with the input
        text = text[: 2 * MAX_FIELD_CHARS]
    text = scrub.scrub(text)
    return text if len(text) <= MAX_FIELD_CHARS else text[: MAX_FIELD_CHARS - len(_CUT)] + _CUT


def _ascii(values: Mapping[str, object]) -> bytes:
    # The standard encoder escapes everything outside ASCII, lone surrogates too; DEL is the one it leaves.
    return json.dumps(values, separators=(",", ":")).replace("\x7f", "\\u007f").encode()

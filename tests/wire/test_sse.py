"""Server-sent events: every way of cutting a stream gives the same events (MCP-07, EGR-04)."""

import random

import pytest

from mantlet.core.refusal import BadUpstream
from mantlet.wire.sse import Event, SseSplitter, format_event


def split(*chunks: bytes, max_event_bytes: int = 1000) -> list[Event]:
    splitter = SseSplitter(max_event_bytes)
    return [event for chunk in chunks for event in splitter.feed(chunk)]


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        (b"data: a\n\n", [b"a"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\r\n\r\n", [b"a"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data: a\r\n\ndata: b\n\r\n", [b"a", b"b"]),
        (b"event: message\nid: 7\ndata: a\ndata: b\n\n", [b"a\nb"]),
        (b"data\n\n", [b""]),
        (b"datax: a\n\n", [b""]),
        (b"retry: 500\n\n", [b""]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [b"a", b""]),
        (b"data: a\x0bdata: b\x85\xe2\x80\xa8data: c\n\n", [b"a\x0bdata: b\x85\xe2\x80\xa8data: c"]),
        (b"data: unfinished\n", []),
    ],
)
def test_events_are_read_as_the_standard_says(stream: bytes, data: list[bytes]) -> None:
    assert [event.data for event in split(stream)] == data


def test_the_last_id_without_nul_counts() -> None:
    assert split(b"id: 1\nid: 2\nid: a\0b\ndata: x\n\n")[0].id == b"2"
    assert split(b"data: x\n\n")[0].id is None


def test_any_chunking_gives_the_same_messages_and_loses_no_byte() -> None:
    stream = b": hi\r\n\r\ndata: 1\r\n\r\nid: 4\r\ndata: 2\r\ndata: 3\r\n\r\n:\ndata: 4\r\rdata: 5\n\n"
    whole = [(event.data, event.id) for event in split(stream) if event.data]
    assert whole == [(b"1", None), (b"2\n3", b"4"), (b"4", None), (b"5", None)]
    for at in range(len(stream)):
        pieces = split(stream[:at], stream[at:])
        assert b"".join(event.raw for event in pieces) == stream
        assert [(event.data, event.id) for event in pieces if event.data] == whole
    chance = random.Random(7)
    for _ in range(200):
        cuts = sorted(chance.sample(range(len(stream)), 9))
        pieces = split(*(stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)))
        assert b"".join(event.raw for event in pieces) == stream
        assert [(event.data, event.id) for event in pieces if event.data] == whole
    single = split(*(bytes([byte]) for byte in stream))
    assert b"".join(event.raw for event in single) == stream


def test_a_keep_alive_comment_is_passed_on_at_once() -> None:
    assert [event.raw for event in split(b":\r\n")] == [b":\r\n"]
    assert [event.raw for event in split(b"data: a\n\n: ping\n")] == [b"data: a\n\n", b": ping\n"]


def test_a_bare_cr_in_a_comment_hides_no_event() -> None:
    """MCP-07: a client reads the second line, so must we."""
    assert [event.data for event in split(b": x\rdata: hidden\n", b"\n")] == [b"hidden"]


def test_comments_inside_an_event_stay_in_it() -> None:
    assert split(b"data: a\n: x\n", b"data: b\n\n")[0].data == b"a\nb"


def test_an_event_is_bounded_whether_it_ends_or_not() -> None:
    """EGR-04"""
    with pytest.raises(BadUpstream):
        split(*([b"data: " + b"x" * 50 + b"\n"] * 30))
    with pytest.raises(BadUpstream):
        split(b"data: " + b"x" * 2000 + b"\n\n")


def test_many_small_events_are_not_one_large_one() -> None:
    assert len(split(b"data: xxxxxxxxxx\n\n" * 500)) == 500
    assert len(split(*([b": ping\n"] * 500))) == 500


@pytest.mark.parametrize("data", [b'{"a":1}', b"", b"a\nb", b"a\r\nb\rc", b" a"])
def test_a_written_event_reads_back(data: bytes) -> None:
    event = split(format_event(data, b"9"))[0]
    assert event.data == data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert event.id == b"9"
    assert split(format_event(data))[0].id is None


@pytest.mark.parametrize("identity", [b"a\nb", b"a\rdata: x", b"a\0"])
def test_an_id_cannot_smuggle_a_line(identity: bytes) -> None:
    with pytest.raises(ValueError, match="id"):
        format_event(b"x", identity)

"""Cutting lines."""

import pytest

from mantlet.upstreams.transports.channel.lines import HEAD_BYTES, LineSplitter


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_chunks_may_end_anywhere(size: int) -> None:
    data = b'{"a":1}\n\n{"b":2}\n' + b"c" * 40 + b"\nrest"
    splitter = LineSplitter(100)
    lines = [line for at in range(0, len(data), size) for line in splitter.feed(data[at : at + size])]
    assert lines == [b'{"a":1}', b"", b'{"b":2}', b"c" * 40]
    assert splitter.feed(b"!\n") == [b"rest!"]


@pytest.mark.parametrize("size", [1, 5, 64, 100_000])
def test_a_line_too_long_is_skipped_and_its_head_is_kept(size: int) -> None:
    long = b"h" * 50 + b"x" * 5000
    data = b"one\n" + long + b"\ntwo\n" + b"y" * 1000 + b"\n" + b"z" * 1001 + b"\nthree\n"
    splitter = LineSplitter(1000)
    lines = [line for at in range(0, len(data), size) for line in splitter.feed(data[at : at + size])]
    assert lines == [b"one", b"two", b"y" * 1000, b"three"]
    assert [head[:HEAD_BYTES] for head in splitter.oversized] == [long[:HEAD_BYTES], b"z" * HEAD_BYTES]


def test_an_endless_line_is_not_kept() -> None:
    splitter = LineSplitter(1000)
    for _ in range(100):
        splitter.feed(b"x" * 500)
    assert sum(map(len, splitter._parts)) <= 1000
    assert len(splitter.oversized) == 1

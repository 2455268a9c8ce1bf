"""The chunked coding, read strictly (HTTP-04)."""

import pytest
from hypothesis import given, strategies

from mantlet.core.refusal import Malformed
from mantlet.listeners.http.chunked import ChunkReader


def read(data: bytes, step: int | None = None) -> tuple[bytes, bytes, bool]:
    reader = ChunkReader()
    payload = surplus = b""
    for at in range(0, len(data), step or len(data) or 1):
        part = data[at : at + (step or len(data))]
        if reader.is_done:
            surplus += part
            continue
        parts, surplus = reader.feed(part)
        payload += b"".join(parts)
    return payload, surplus, reader.is_done


@pytest.mark.parametrize("step", [None, 1, 2, 3])
def test_chunks_give_their_payload_and_what_follows(step: int | None) -> None:
    body = b"4\r\nWiki\r\n5\r\npedia\r\nA\r\n0123456789\r\n0\r\n\r\nGET /"
    assert read(body, step) == (b"Wikipedia0123456789", b"GET /", True)


@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize(
    "body",
    [
        b"4\nWiki\r\n0\r\n\r\n",
        b"4\r\nWiki\n0\r\n\r\n",
        b"4\r\nWikiX\r\n0\r\n\r\n",
        b"4\r\nWik\r\n0\r\n\r\n0\r\n\r\n",
        b"3\r\nWiki\r\n0\r\n\r\n",
        b"4;ext=1\r\nWiki\r\n0\r\n\r\n",
        b"4 \r\nWiki\r\n0\r\n\r\n",
        b" 4\r\nWiki\r\n0\r\n\r\n",
        b"+4\r\nWiki\r\n0\r\n\r\n",
        b"0x4\r\nWiki\r\n0\r\n\r\n",
        b"-4\r\nWiki\r\n0\r\n\r\n",
        b"1_0\r\n0123456789012345\r\n0\r\n\r\n",
        b"g\r\nx\r\n0\r\n\r\n",
        b"\r\nx\r\n",
        b"000000004\r\nWiki\r\n0\r\n\r\n",
        b"FFFFFFFFF\r\n",
        b"4\rWiki\r\n0\r\n\r\n",
        b"4\r\nWiki\r\n0\r\nTrailer: x\r\n\r\n",
        b"4\r\nWiki\r\n0\r\n\n",
        b"0\r\nX",
        b"0\n\n",
        b"\x00",
        b"4\r\nWikiXX\r\n",
    ],
)
def test_other_framing_is_refused(body: bytes, step: int | None) -> None:
    with pytest.raises(Malformed):
        read(body, step)


@given(strategies.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        whole = read(data)
    except Malformed:
        whole = None
    try:
        split = read(data, 1)
    except Malformed:
        split = None
    assert whole == split


@given(strategies.lists(strategies.binary(min_size=1, max_size=40)), strategies.integers(1, 50))
def test_the_split_into_segments_changes_nothing(parts: list[bytes], step: int) -> None:
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    assert read(body + b"next", step) == (b"".join(parts), b"next", True)

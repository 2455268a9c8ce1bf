"""A whole answer is told by its bytes, and a head seen before by all of them but the digits of its length."""

import pytest

from mantlet.upstreams.client.config import Bounds
from mantlet.upstreams.client.whole import WholeAnswers

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nContent-Length: 2\r\nx: y\r\n\r\n"


def test_a_head_seen_before_is_known_with_another_length() -> None:
    answers = WholeAnswers(Bounds())
    first = answers.read(HEAD + b"{}")
    again = answers.read(HEAD.replace(b": 2", b": 3") + b"123")
    assert first is not None
    assert again is not None
    assert again[0] is first[0]
    assert (first[1], again[1]) == (b"{}", b"123")
    assert first[0].get(b"x") == b"y"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (b"200 OK", b"204 No"),
        (b": 2", b": 3"),
        (b": 2", b": +2"),
        (b": 2", b": 2\r\ncontent-length: 2"),
        (b"x: y", b"transfer-encoding: chunked"),
        (b"x: y", b"connection: close"),
        (b"x: y", b"note: content-length: 2"),
        (b"application/json", b"text/event-stream"),
        (b"Content-Length", b"X-Content-Length"),
    ],
)
def test_what_is_not_exactly_one_plain_answer_is_left_to_the_parser(ours: bytes, theirs: bytes) -> None:
    """HTTP-04: also right after a head that was plain."""
    answers = WholeAnswers(Bounds())
    answers.read(HEAD + b"{}")
    changed = HEAD.replace(ours, theirs)
    found = answers.read(changed + b"{}")
    assert found is None or (b"note" in changed and found[0].get(b"note") == b"content-length: 2")

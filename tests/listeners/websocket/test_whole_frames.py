"""What is read and written without the library says the same as with it."""

import random

import pytest
from tests.listeners.websocket.house import BINARY, CONT, MASK, PING, TEXT, frame
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from mantlet.listeners.websocket.frames import text_frame, whole_text

MAX_BYTES = 70_000
SIZES = [0, 1, 2, 3, 4, 5, 124, 125, 126, 127, 128, 255, 256, 1000, 65_534, 65_535, 65_536, 65_537, 70_000, 70_001]


def by_library(data: bytes) -> bytes | None:
    """The one message that `data` is to the library, or None."""
    protocol = ServerProtocol(state=State.OPEN, max_size=MAX_BYTES)
    protocol.receive_data(data)
    frames = protocol.events_received()
    if protocol.state is not State.OPEN or len(frames) != 1:
        return None
    (only,) = frames
    assert isinstance(only, Frame)
    return bytes(only.data) if only.opcode is Opcode.TEXT and only.fin else None


@pytest.mark.parametrize("size", SIZES)
def test_a_whole_frame_is_read_as_the_library_reads_it(size: int) -> None:
    payload = random.Random(size).randbytes(size)
    data = frame(TEXT, payload)
    found = whole_text(data, MAX_BYTES)
    assert found == (payload if size < 65_536 else None)
    if found is not None:
        assert by_library(data) == found


@pytest.mark.parametrize("size", SIZES)
def test_an_answer_is_the_frame_that_the_library_writes(size: int) -> None:
    message = b"x" * size
    assert text_frame(message) == Frame(Opcode.TEXT, message).serialize(mask=False)


@pytest.mark.parametrize(
    "data",
    [
        b"\x81",
        b"\x81\x80",
        b"\x81\x80" + MASK[:3],
        b"\x81\xfe",
        b"\x81\xfe\x00\x7e" + MASK,
        b"\x81\xfe\x00\x05" + MASK + b"12345",
        b"\x81\xff" + b"\x00" * 7 + b"\x05" + MASK + b"12345",
        frame(TEXT, b"12345")[:-1],
        frame(TEXT, b"12345") + b"x",
        frame(TEXT, b"12345") * 2,
        frame(TEXT, b"12345", mask=False),
        frame(TEXT, b"12345", fin=False),
        frame(TEXT, b"12345", rsv=1),
        frame(CONT, b"12345"),
        frame(BINARY, b"12345"),
        frame(PING, b"12345"),
        frame(TEXT, b"x" * (MAX_BYTES + 1)),
        frame(TEXT, b"x" * 200, length_form=64),
    ],
)
def test_everything_else_is_left_to_the_library(data: bytes) -> None:
    assert whole_text(data, MAX_BYTES) is None


def test_changed_bytes_are_never_read_as_something_else() -> None:
    chance = random.Random(1)
    for _ in range(5000):
        data = bytearray(frame(TEXT, chance.randbytes(chance.choice([0, 3, 125, 126, 300]))))
        data[chance.randrange(min(len(data), 9))] = chance.randrange(256)
        found = whole_text(bytes(data), 250)
        if found is not None:
            assert by_library(bytes(data)) == found

"""Lines out."""

import asyncio

from mantlet.upstreams.transports.channel.writer import LineWriter


class Pipe(asyncio.WriteTransport):
    """One as uvloop has it: a write after the end raises."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_ended = False

    def is_closing(self) -> bool:
        return self.is_ended

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.is_ended:
            raise RuntimeError("the handler is closed")
        self.written.append(bytes(data))


async def turn() -> None:
    await asyncio.sleep(0)


async def test_the_lines_of_a_turn_are_written_in_one_go() -> None:
    pipe, writer = Pipe(), LineWriter(100)
    writer.attach(pipe)
    assert writer.write(b"one\n")
    assert writer.write(b"two\n")
    await turn()
    assert pipe.written == [b"one\ntwo\n"]


async def test_a_program_that_ended_within_the_turn_is_written_nothing_more() -> None:
    """One that cannot be started ends before the first line is on its way."""
    pipe, writer = Pipe(), LineWriter(100)
    writer.attach(pipe)
    assert writer.write(b"one\n")
    pipe.is_ended = True
    raised: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: raised.append(context))
    await turn()
    assert (pipe.written, raised, writer.size) == ([], [], 0)
    assert not writer.write(b"two\n")

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from mantlet.listeners.tls.hello import wait_for_hello

RECORD = b"\x16\x03\x01\x00\x10" + bytes(16)

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """A client and what its listener accepted. Of TCP: the kernel holds only that to a number of bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
    accepted.setblocking(False)
    with client, accepted:
        yield client, accepted


async def _turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("said", [RECORD, RECORD + b"more", b"GET / HTTP/1.1\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x28"])
async def test_a_record_that_is_whole_and_what_is_no_handshake_are_not_waited_for(pair: Pair, said: bytes) -> None:
    client, accepted = pair
    client.sendall(said)
    async with asyncio.timeout(10):
        await wait_for_hello(accepted)
    assert accepted.recv(100) == said


async def test_a_trickle_wakes_nobody_until_the_record_is_whole(pair: Pair) -> None:
    """RATE-06"""
    client, accepted = pair
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    waiting = asyncio.get_running_loop().create_task(wait_for_hello(accepted))
    for number in range(len(RECORD)):
        await _turns()
        assert not waiting.done()
        client.sendall(RECORD[number : number + 1])
    async with asyncio.timeout(10):
        await waiting
    assert accepted.recv(100) == RECORD
    client.sendall(b"x")  # one byte is enough again for whoever reads on
    async with asyncio.timeout(10):
        assert await asyncio.get_running_loop().sock_recv(accepted, 100) == b"x"


@pytest.mark.parametrize("said", [b"", RECORD[:3], RECORD[:9]])
async def test_a_client_that_goes_is_waited_for_no_longer(pair: Pair, said: bytes) -> None:
    client, accepted = pair
    client.sendall(said)
    waiting = asyncio.get_running_loop().create_task(wait_for_hello(accepted))
    await _turns()
    assert not waiting.done()
    client.shutdown(socket.SHUT_WR)
    async with asyncio.timeout(10):
        await waiting


async def test_a_record_that_promises_too_much_is_left_to_tls(pair: Pair) -> None:
    client, accepted = pair
    client.sendall(b"\x16\x03\x01\xff\xff" + bytes(16_384))
    async with asyncio.timeout(10):
        await wait_for_hello(accepted)


async def test_giving_up_leaves_the_socket_as_it_was(pair: Pair) -> None:
    client, accepted = pair
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await wait_for_hello(accepted)
    client.sendall(b"x")
    async with asyncio.timeout(10):
        assert await asyncio.get_running_loop().sock_recv(accepted, 100) == b"x"

"""How many TLS handshakes are under way, and how many begin at once."""

import asyncio
import contextlib
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

from mantlet.keys.certificates import make_authority, make_server
from mantlet.listeners.accept.handshakes import BEGUN_A_TURN, MAX_UNDER_WAY, Handshakes


class Shaking:
    def __init__(self) -> None:
        self.has_left = False

    def make_room(self) -> bool:
        self.has_left = True
        return True


async def test_the_oldest_gives_way_when_there_are_too_many() -> None:
    """RATE-06"""
    handshakes = Handshakes(asyncio.get_running_loop(), Shaking.make_room)
    all_of_them = [Shaking() for _ in range(MAX_UNDER_WAY + 3)]
    for one in all_of_them:
        await handshakes.begin(one)
    assert [one.has_left for one in all_of_them[:4]] == [True, True, True, False]
    assert len(handshakes) == MAX_UNDER_WAY
    for one in all_of_them:
        handshakes.over(one)
    assert not len(handshakes)


async def test_a_few_begin_a_turn_and_in_their_order() -> None:
    """RATE-06: a flood of first records is looked at beside everything else."""
    handshakes = Handshakes(asyncio.get_running_loop(), Shaking.make_room)
    begun: list[int] = []

    async def begin(number: int) -> None:
        await handshakes.begin(Shaking())
        begun.append(number)

    tasks = [asyncio.ensure_future(begin(number)) for number in range(3 * BEGUN_A_TURN + 1)]
    tasks[BEGUN_A_TURN + 1].cancel()  # it gave up while it waited
    most, before = 0, 0
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        most, before = max(most, len(begun) - before), len(begun)
    assert most <= BEGUN_A_TURN
    assert begun == [number for number in range(len(tasks)) if number != BEGUN_A_TURN + 1]
    await handshakes.begin(Shaking())


def first_words() -> bytes:
    """What a TLS client says first."""
    said = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), said, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return said.read()


def served(folder: Path) -> tuple[dict[str, str], ssl.SSLContext]:
    """What a listener shows, and who trusts it."""
    root = make_authority("test", 2, datetime.now(UTC))
    made = make_server(root, ["localhost"], 1, datetime.now(UTC))
    (folder / "s.pem").write_text(made.certificate)
    (folder / "s.key").write_text(made.key)
    tls = {"cert_file": str(folder / "s.pem"), "key_file": str(folder / "s.key")}
    return tls, ssl.create_default_context(cadata=root.certificate)


async def test_who_leaves_after_the_first_message_keeps_nobody_out(serve, tmp_path: Path) -> None:
    """RATE-06, TLS-01: neither by handshakes that never end nor by the seats they take."""
    tls, trusting = served(tmp_path)
    house = await serve(max_connections=20, per_address_connections=10, tls=tls)
    hello = first_words()
    for number in range(60):
        (await house.connect(local_addr=(f"127.0.1.{number % 30 + 1}", 0))).send(hello)
        if number % 20 == 0:
            client = await house.connect(ssl=trusting, server_hostname="localhost")
            client.send(house.get())
            assert (await client.answer())[0] == 200
    await house.until(lambda: house.listener.displaced_connections >= 60 + 3 - 20)
    assert house.listener.refused_connections == 0
    assert house.errors == []


async def test_who_is_displaced_in_the_turn_it_came_in_leaves_nothing_behind(serve, tmp_path: Path) -> None:
    """RATE-06: more come at once than there are seats."""
    house = await serve(max_connections=4, per_address_connections=4, tls=served(tmp_path)[0])
    sockets = []
    for number in range(40):  # all of them wait at the door before the loop looks
        made = socket.socket()
        made.bind((f"127.0.1.{number % 20 + 1}", 0))
        made.connect(("127.0.0.1", house.listener.port))
        sockets.append(made)
    await house.until(lambda: house.listener.displaced_connections == 36)
    acceptor = house.listener._server
    await house.until(lambda: len(acceptor._opening) == 4)
    for made in sockets[:36]:
        made.setblocking(False)
        assert await asyncio.get_running_loop().sock_recv(made, 1) == b""
    for made in sockets:
        made.close()
    await house.until(lambda: not house.listener._door.seats)
    assert not acceptor._opening

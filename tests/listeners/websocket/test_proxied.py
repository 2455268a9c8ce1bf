"""A WebSocket behind a load balancer (HTTP-09): the address is the client's, and its seat is given back."""

import ipaddress

from tests.listeners.websocket.conftest import Serve

from mantlet.listeners.proxy_protocol.header import SIGNATURE


async def test_the_client_is_who_the_proxy_header_says(serve: Serve) -> None:
    house = await serve(proxy_protocol="required", trusted_proxies=["127.0.0.1"])
    client = await house.connect()
    rest = ipaddress.ip_address("192.0.2.7").packed * 2 + b"\x00\x01\x00\x02"
    client.send(SIGNATURE + b"\x21\x11" + len(rest).to_bytes(2, "big") + rest + house.hello())
    await house.until(lambda: bool(house.opened))
    assert house.opened[0].peer == "192.0.2.7"
    assert house.listener._door.seats.by_peer == {"192.0.2.7": 1}
    client.writer.transport.abort()
    await house.until(lambda: not house.listener._door.seats)

"""`auth` by challenge and answer. AUTHN-10: single use, at most 30 s, bound to connection, key, nonce and endpoint."""

import secrets
from typing import Any

import pytest
from tests.listeners.tcp.conftest import Serve
from tests.listeners.tcp.house import PEPPER, House, LineClient

from mantlet.core.key_proof import answer_of, message_of, proof_of, verifier_of

KEY_ID = "abcdefghijkl"
KEY = b"mk_abcdefghijkl_" + b"x" * 43
NONCE = "n" * 22


class Prover:
    """A client that has the key and never sends it."""

    def __init__(self, house: House, client: LineClient) -> None:
        self.client = client
        self.server = ""
        self.nonce = NONCE
        house.verifiers[KEY_ID] = verifier_of(KEY, KEY_ID, PEPPER)

    async def ask(self, **changed: Any) -> Any:
        params = {"key": KEY_ID, "nonce": self.nonce, **({"server": self.server} if self.server else {}), **changed}
        self.client.say(id="ask", method="auth", params=params)
        return await self.client.line()

    def message(self, challenge: str) -> bytes:
        return message_of(KEY_ID, self.nonce, challenge, self.server)

    async def answer(self, challenge: str, key: bytes = KEY, **more: Any) -> Any:
        self.client.say(id="answer", method="auth", params={"proof": proof_of(key, self.message(challenge)), **more})
        return await self.client.line()


async def prover(house: House) -> Prover:
    return Prover(house, await house.connect())


@pytest.mark.parametrize("server", ["", "one"])
async def test_a_key_opens_the_connection_without_being_sent(serve: Serve, server: str) -> None:
    house = await serve()
    mine = await prover(house)
    mine.server = server
    asked = (await mine.ask())["result"]
    assert asked["expires_in"] <= 30
    assert not house.openings  # until it is answered there is nothing to decide
    result = (await mine.answer(asked["challenge"]))["result"]
    assert result["proof"] == answer_of(KEY, mine.message(asked["challenge"]))
    assert result["expires_in"] == 3600
    mine.client.say(id=1, method="ping")
    assert (await mine.client.line())["id"] == 1
    (arrival,) = house.arrivals
    assert arrival.path == (f"/mcp/{server}" if server else "/mcp")
    assert b"authorization" not in house.openings[0].headers


async def test_challenges_differ(serve: Serve) -> None:
    house = await serve()
    said = {(await (await prover(house)).ask())["result"]["challenge"] for _ in range(5)}
    assert len(said) == 5
    assert all(len(text) >= 32 for text in said)


async def test_an_unknown_key_is_asked_like_any_other(serve: Serve) -> None:
    """Nobody learns from a challenge which keys there are."""
    house = await serve()
    mine = await prover(house)
    house.verifiers.clear()
    asked = (await mine.ask())["result"]
    assert (await mine.answer(asked["challenge"]))["error"]["code"] == 4401
    assert await mine.client.end() == b""


@pytest.mark.parametrize(
    "answer",
    [
        {"key": b"mk_abcdefghijkl_" + b"y" * 43},
        {"server": "one"},
        {"token": "alice-token"},
        {"proof": "x"},
        {"proof": 7},
        {"proof": None},
        {"proof": "A" * 40_000},
    ],
)
async def test_a_wrong_answer_is_the_end(serve: Serve, answer: dict[str, Any]) -> None:
    house = await serve()
    mine = await prover(house)
    challenge = (await mine.ask())["result"]["challenge"]
    assert "error" in await mine.answer(challenge, **answer)
    mine.client.say(id=2, method="auth", params={"token": "alice-token"})
    assert await mine.client.end() == b""
    assert not house.terms.open


async def test_an_answer_is_good_on_its_own_connection_only(serve: Serve) -> None:
    house = await serve()
    mine, thief = await prover(house), await prover(house)
    first = (await mine.ask())["result"]["challenge"]
    await thief.ask()
    assert (await thief.answer(first))["error"]["code"] == 4401
    assert "result" in await mine.answer(first)


async def test_an_answer_is_good_once(serve: Serve) -> None:
    house = await serve()
    mine = await prover(house)
    challenge = (await mine.ask())["result"]["challenge"]
    assert "result" in await mine.answer(challenge)
    assert (await mine.answer(challenge))["error"]["code"] == -32602  # to no challenge
    thief = await prover(house)
    assert (await thief.answer(challenge))["error"]["code"] == -32602
    assert await thief.client.end() == b""


async def test_an_answer_without_a_challenge_is_none(serve: Serve) -> None:
    house = await serve()
    mine = await prover(house)
    assert (await mine.answer("c" * 32))["error"]["code"] == -32602
    assert await mine.client.end() == b""


async def test_a_stranger_gets_one_challenge_and_no_more_time(serve: Serve) -> None:
    house = await serve()
    mine = await prover(house)
    await mine.ask()
    assert (await mine.ask())["error"]["code"] == 4401
    assert await mine.client.end() == b""
    slow = await prover(house)
    await slow.ask()
    house.pass_s(10)
    assert (await slow.client.line())["error"]["code"] == 4401
    assert await slow.client.end() == b""


async def test_a_challenge_grows_old_on_an_open_connection_too(serve: Serve) -> None:
    house = await serve()
    client = await house.ready()
    mine = Prover(house, client)
    challenge = (await mine.ask())["result"]["challenge"]
    house.now_s += 10
    assert (await mine.answer(challenge))["error"]["code"] == 4401
    fresh = (await mine.ask())["result"]["challenge"]
    assert "result" in await mine.answer(fresh)  # the connection was Alice's, and is
    client.say(id=1, method="ping")
    assert (await client.line())["id"] == 1


@pytest.mark.parametrize(
    "params",
    [
        {"key": 7}, {"key": ""}, {"key": "short"}, {"key": "a" * 13}, {"key": "config:a\nb"}, {"key": "config:"},
        {"nonce": "x"}, {"nonce": "n" * 129}, {"nonce": "n" * 21 + "\n"}, {"nonce": None}, {"server": 1},
        {"server": "a\nb"}, {"token": "alice-token"}, {"proof": "x"},
    ],
)  # fmt: skip
async def test_what_asks_wrongly_gets_none(serve: Serve, params: dict[str, Any]) -> None:
    house = await serve()
    mine = await prover(house)
    assert (await mine.ask(**params))["error"]["code"] == -32602
    assert await mine.client.end() == b""
    assert not house.openings


async def test_keys_of_the_configuration_prove_themselves_by_name(serve: Serve) -> None:
    house = await serve()
    key = secrets.token_urlsafe(32).encode()
    house.verifiers["config:ci job"] = verifier_of(key, "config:ci job", PEPPER)
    client = await house.connect()
    client.say(id=1, method="auth", params={"key": "config:ci job", "nonce": NONCE})
    challenge = (await client.line())["result"]["challenge"]
    proof = proof_of(key, message_of("config:ci job", NONCE, challenge, ""))
    client.say(id=2, method="auth", params={"proof": proof})
    assert "result" in await client.line()

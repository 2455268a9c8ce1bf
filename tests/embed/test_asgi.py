"""A program behind a node: what the middleware lets through, and what the program then sees (FWD-02)."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mantlet.core.refusal import InvalidCredential, Overloaded
from mantlet.core.secret import Secret
from mantlet.embed import Forwarded, ForwardedIdentity, MemoryUsed, Node, open_forwarded
from mantlet.keys.forwarded import SEALED, derive, sealer_with, signer
from mantlet.keys.jwk import write_set
from mantlet.keys.signing import make_signing_key
from mantlet.wire.forwarded import request_digest

KEY = derive(Secret("m7Qx2vR9tK4wZ8nB1cY5hJ0pL3sD6fGa"), "planner")
NODE, HERE = "https://edge.example", "https://planner.example"
BODY = b'{"a":1}'


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    whole = {
        "iss": NODE,
        "aud": HERE,
        "sub": "https://idp.example#alice",
        "sub_id": {"format": "iss_sub", "iss": "https://idp.example", "sub": "alice"},
        "tenant": "default",
        "kind": "user",
        "act": {"sub": "edge-1"},
        "iat": now,
        "exp": now + 60,
        "jti": f"id-{time.monotonic_ns()}",
        "env": "production",
        "req": request_digest(b"POST", b"/a?x=1", BODY),
        **more,
    }
    return {name: value for name, value in whole.items() if value is not None}


class House:
    """The program, and what reached it."""

    def __init__(self, folder: Path, **more: Any) -> None:
        key = make_signing_key(folder / "node.key", replace=True)
        self.sign, self.seal = signer(key), sealer_with(KEY)
        self.signed_sealed = signer(key, SEALED)
        self.node = Node(
            **{"issuer": NODE, "audience": HERE, "jwks": write_set([key.jwk]), "keys": [KEY.reveal()], **more}
        )
        self.reached: list[tuple[Any, bytes]] = []
        self.application = ForwardedIdentity(self._program, self.node, max_body_bytes=1_000)

    async def _program(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        if scope["type"] == "http":
            while True:
                message = await receive()
                body += message["body"]
                if not message.get("more_body"):
                    break
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})
        self.reached.append((scope, body))

    async def ask(self, *tokens: str, parts: tuple[bytes, ...] = (BODY,), **changes: Any) -> int:
        headers = [(b"host", b"x"), *((b"Authorization", b"Bearer " + token.encode()) for token in tokens)]
        scope = {"type": "http", "method": "POST", "path": "/a", "raw_path": b"/a", "query_string": b"x=1",
                 "headers": headers, **changes}  # fmt: skip
        sent: list[Any] = []
        waiting = list(parts)

        async def receive() -> Any:
            if not waiting:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.application(scope, receive, send)
        self.sent = sent
        return sent[0].get("status", 0) if sent else 0


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.mark.parametrize("parts", [(BODY,), (BODY[:3], BODY[3:]), (b"", BODY, b"")])
async def test_a_sealed_token_opens_for_its_request_and_the_body_is_still_there(
    house: House, parts: tuple[bytes, ...]
) -> None:
    assert await house.ask(house.seal(claims()), parts=parts) == 200
    ((scope, body),) = house.reached
    assert body == BODY
    assert isinstance(scope["mantlet.identity"], Forwarded)
    assert scope["mantlet.identity"].subject == "alice"
    assert [name for name, _ in scope["headers"]] == [b"host"]


async def test_an_exchanged_token_is_good_for_its_life(house: House) -> None:
    token = house.sign(claims(req=None))
    for _ in range(2):
        assert await house.ask(token) == 200
    assert len(house.reached) == 2


Made = Callable[[House], str]
REFUSED: dict[str, Made] = {
    "other audience": lambda house: house.sign(claims(aud="https://other.example")),
    "two audiences": lambda house: house.sign(claims(aud=[HERE, "https://other.example"])),
    "other issuer": lambda house: house.sign(claims(iss="https://evil.example")),
    "expired": lambda house: house.sign(claims(iat=1, exp=100)),
    "too long": lambda house: house.sign(claims(exp=int(time.time()) + 9_999)),
    "other environment": lambda house: house.sign(claims(env="development")),
    "nobody acts": lambda house: house.sign(claims(act=None)),
    "not signed": lambda house: house.sign(claims()).rpartition(".")[0] + ".",
    "changed": lambda house: house.sign(claims())[:-6] + "AAAAAA",
    "sealed kind, unsealed": lambda house: house.signed_sealed(claims()),
    "sealed, other request": lambda house: house.seal(claims(req=request_digest(b"GET", b"/a?x=1", BODY))),
    "sealed, no request": lambda house: house.seal(claims(req=None)),
    "sealed, other audience": lambda house: house.seal(claims(aud="https://other.example")),
    "sealed, expired": lambda house: house.seal(claims(iat=1, exp=100)),
    "sealed by another": lambda house: sealer_with(derive(Secret("n" + KEY.reveal()), "planner"))(claims()),
    "for a private key": lambda house: "a.b.c.d.e",
    "nothing": lambda house: "",
    "no token": lambda house: "abc",
}


@pytest.mark.parametrize("made", REFUSED.values(), ids=list(REFUSED))
async def test_what_is_refused(house: House, made: Made) -> None:
    """FWD-02"""
    assert await house.ask(made(house)) == 401
    assert house.reached == []
    answer = json.loads(house.sent[1]["body"])
    assert answer == {"title": "Refused", "status": 401, "detail": "This service is reached through its gateway only."}
    assert b"www-authenticate" not in dict(house.sent[0]["headers"])


async def test_a_replay_is_refused(house: House) -> None:
    """FWD-02"""
    token = house.seal(claims())
    assert await house.ask(token) == 200
    assert await house.ask(token) == 401
    assert len(house.reached) == 1


async def test_who_sends_it_with_another_request_does_not_use_it_up(house: House) -> None:
    token = house.seal(claims())
    assert await house.ask(token, parts=(b"other",)) == 401
    assert await house.ask(token, query_string=b"x=2") == 401
    assert await house.ask(token, method="PUT") == 401
    assert await house.ask(token) == 200


async def test_none_and_two_tokens_are_refused(house: House) -> None:
    token = house.sign(claims())
    assert await house.ask() == 401
    assert await house.ask(token, token) == 401
    assert await house.ask(token, headers=[(b"authorization", b"Basic " + token.encode())]) == 401
    assert await house.ask(token, headers=[(b"x-api-key", token.encode())]) == 401


async def test_a_forged_token_has_nothing_read(house: House) -> None:
    """A sealed token asks for the body; a forged one must not be able to."""
    assert await house.ask("gAAAA" + "x" * 100, parts=(b"x" * 10_000,)) == 401
    assert await house.ask(house.seal(claims()), parts=(b"x" * 10_000,)) == 413


async def test_a_client_that_leaves_is_nobody(house: House) -> None:
    assert await house.ask(house.seal(claims()), parts=()) == 401


async def test_keys_that_cannot_be_had_are_503(tmp_path: Path) -> None:
    async def fetch() -> bytes:
        raise OSError("no route")

    house = House(tmp_path, jwks=fetch)
    assert await house.ask(house.sign(claims())) == 503
    assert await house.ask(house.seal(claims())) == 200  # the shared key needs nobody


async def test_websockets_open_by_an_exchanged_token_only(house: House) -> None:
    token = house.sign(claims())
    assert await house.ask(token, type="websocket") == 0
    assert house.reached[0][0]["mantlet.identity"].subject == "alice"
    await house.ask(house.seal(claims()), type="websocket")
    assert house.sent == [{"type": "websocket.close", "code": 1008}]


async def test_lifespan_passes(house: House) -> None:
    async def never(*_: Any) -> Any:
        raise AssertionError

    await house.application({"type": "lifespan"}, never, never)
    assert house.reached == [({"type": "lifespan"}, b"")]


async def test_the_library_call_alone(house: House) -> None:
    token = f"Bearer {house.seal(claims())}"
    found = await open_forwarded(house.node, token, method="POST", target="/a?x=1", body=BODY)
    assert (found.subject, found.node, found.actors) == ("alice", NODE, ("edge-1",))
    for authorization in (token, "", "Bearer", f"Basic {house.sign(claims())}"):
        with pytest.raises(InvalidCredential):
            await open_forwarded(house.node, authorization, method="POST", target="/a?x=1", body=BODY)


async def test_what_came_is_remembered_for_as_long_as_it_counts_and_no_more_is_taken_than_that() -> None:
    now_s = 0.0
    used = MemoryUsed(lambda: now_s, max_kept=2)
    assert await used.first("a", 10)
    assert not await used.first("a", 10)
    now_s = 5.0
    assert await used.first("b", 10)
    with pytest.raises(Overloaded):
        await used.first("c", 10)
    now_s = 10.0
    assert await used.first("c", 10)
    assert not await used.first("b", 10)


def test_a_node_without_keys_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="key"):
        Node(issuer=NODE, audience=HERE)
    with pytest.raises(ValueError):
        Node(issuer=NODE, audience=HERE, jwks=b"{}")

"""A whole node that is its own authorization server, and what its clients send it."""

import base64
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jwt
from tests.attacks.house import Answer, House, open_house

from mantlet.keys.signing import make_signing_key

ISSUER = "https://mantlet.test"
AUDIENCE = "https://mantlet.test/mcp"
CLI = {
    "id": "cli",
    "name": "A program",
    "redirect_uris": ["http://127.0.0.1/callback", "https://app.example/back"],
}


@contextlib.asynccontextmanager
async def open_issuer(folder: Path, **server: Any) -> AsyncIterator[House]:
    """`open_house` with `auth.server` on, an Ed25519 key, and the public clients `cli` and `other`."""
    make_signing_key(folder / "jwt.pem")
    sections = {
        "clients": [CLI, {"id": "other", "redirect_uris": ["https://other.example/back"]}],
        **server,
    }
    own = {"key_file": str(folder / "jwt.pem"), "issuer": ISSUER, "audience": AUDIENCE}

    # `auth` is merged over the house's own, whose API keys stay.
    async with open_house(folder, auth={"jwt": own, "server": sections}, agent={"url": ISSUER}) as house:
        yield house


def basic(client_id: str, secret: str) -> dict[str, str]:
    text = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def key_of(house: House, name: str = "alice") -> dict[str, str]:
    """The bootstrap key of `name` as client credentials."""
    key = house.keys[name]
    return basic(key.removeprefix("mk_").partition("_")[0], key)


async def post(house: House, path: str, fields: Mapping[str, str] | None = None, **form: str) -> Answer:
    return await raw(house, path, urlencode(form).encode(), fields)


async def raw(house: House, path: str, body: bytes, fields: Mapping[str, str] | None = None) -> Answer:
    headers = {"Content-Type": "application/x-www-form-urlencoded", **(fields or {})}
    return await house.ask("POST", path, headers, body)


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


class Browser:
    """One browser: it keeps cookies, and reads the ticket of the last page."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.cookies: dict[str, str] = {}
        self.ticket = ""

    async def get(self, path: str) -> Answer:
        return self._seen(await self._house.ask("GET", path, self._fields()))

    async def post(self, path: str, fields: Mapping[str, str] | None = None, **form: str) -> Answer:
        return self._seen(await post(self._house, path, {**self._fields(), **(fields or {})}, **form))

    async def decide(self, path: str, key: str, decision: str = "allow", **fields: str) -> Answer:
        return await self.post(path, fields, ticket=self.ticket, api_key=key, decision=decision)

    def _fields(self) -> dict[str, str]:
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}

    def _seen(self, answer: Answer) -> Answer:
        if cookie := answer.headers.get("set-cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        if found := re.search(rb'name="ticket" value="([^"]+)"', answer.body):
            self.ticket = found[1].decode()
        return answer

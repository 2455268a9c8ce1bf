"""What waits for a user or for its redemption, in the shared `State`: kept under a digest, taken once."""

import secrets
from typing import Final, TypeVar

import msgspec

from mantlet.core.ports import State, StateKey
from mantlet.policies.authorization_server.grant import Grant
from mantlet.policies.authorization_server.issuing import digest

USER_CODE_ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""RFC 8628 section 6.1: no vowels, hence no words; nothing that looks like something else."""
USER_CODE_LENGTH: Final = 8
"""34 bits, with five tries in five minutes."""
SLOW_DOWN_S: Final = 5
_OVERLAP_S: Final = 60.0
"""What was spent is remembered longer than it could be shown."""
T = TypeVar("T", bound=msgspec.Struct)


class DeviceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A device that waits for its user."""

    client_id: str
    scopes: tuple[str, ...] | None
    audience: str
    ends_at_s: float
    user_code: str


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What the user said; no grant means no."""

    grant: Grant | None = None


class CodeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What an authorization code stands for."""

    redirect_uri: str
    challenge: str
    grant: Grant
    family: str
    """The login that its redemption begins."""


class Pending:
    """Everything raises `StoreUnavailable`."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def put_device(self, device_code: str, request: DeviceRequest, life_s: float) -> bool:
        """Keep a device's request; False when its user code is taken."""
        name = digest(device_code)
        if await self._state.claim(("oauth", "user", request.user_code), name.encode(), life_s) != name.encode():
            return False
        await self._put(("oauth", "device", name), request, life_s)
        return True

    async def device_of(self, user_code: str) -> tuple[str, DeviceRequest] | None:
        """The request that a user code stands for, with its name, until it is decided."""
        name = await self._state.get(("oauth", "user", user_code))
        if name is None or await self._state.get(("oauth", "decision", name.decode())) is not None:
            return None
        request = await self._get(("oauth", "device", name.decode()), DeviceRequest)
        return None if request is None else (name.decode(), request)

    async def device(self, device_code: str) -> DeviceRequest | None:
        """The request of a device that asks."""
        return await self._get(("oauth", "device", digest(device_code)), DeviceRequest)

    async def decide(self, name: str, decision: Decision, life_s: float) -> bool:
        """What the user said, once; False when it was decided before."""
        mine = msgspec.msgpack.encode((secrets.token_bytes(8), decision))
        return await self._state.claim(("oauth", "decision", name), mine, life_s) == mine

    async def decision(self, device_code: str) -> Decision | None:
        """What the user said, if they did."""
        raw = await self._state.get(("oauth", "decision", digest(device_code)))
        return None if raw is None else msgspec.msgpack.decode(raw, type=tuple[bytes, Decision])[1]

    async def may_ask(self, device_code: str, interval_s: int, life_s: float) -> bool:
        """Whether the device has waited long enough; if not, it waits five seconds longer from now on."""
        name = digest(device_code)
        wait_s = int(await self._state.get(("oauth", "interval", name)) or interval_s)
        mine = secrets.token_bytes(8)
        # A hundredth less: a client that counts whole seconds must not be late and early by turns.
        if await self._state.claim(("oauth", "asked", name), mine, wait_s * 0.99) == mine:
            return True
        await self._state.put(("oauth", "interval", name), b"%d" % (wait_s + SLOW_DOWN_S), life_s)
        return False

    async def put_code(self, code: str, request: CodeRequest, life_s: float) -> None:
        """Keep what a code stands for."""
        # Longer than it can be redeemed: one that is shown again ends what was made of it.
        await self._put(("oauth", "code", digest(code)), request, life_s + _OVERLAP_S)
        await self._state.put(("oauth", "fresh", digest(code)), b"1", life_s)

    async def code(self, code: str) -> tuple[CodeRequest, bool] | None:
        """What a code stands for, and whether its time is not over."""
        request = await self._get(("oauth", "code", digest(code)), CodeRequest)
        if request is None:
            return None
        return request, await self._state.get(("oauth", "fresh", digest(code))) is not None

    async def spend(self, secret: str, life_s: float) -> bool:
        """Whether this is the first time that `secret` is spent."""
        mine = secrets.token_bytes(8)
        return await self._state.claim(("oauth", "spent", digest(secret)), mine, life_s + _OVERLAP_S) == mine

    async def _put(self, key: StateKey, value: msgspec.Struct, life_s: float) -> None:
        await self._state.put(key, msgspec.msgpack.encode(value), life_s)

    async def _get(self, key: StateKey, kind: type[T]) -> T | None:
        raw = await self._state.get(key)
        return None if raw is None else msgspec.msgpack.decode(raw, type=kind)


def new_user_code() -> str:
    """Eight letters."""
    return "".join(secrets.choice(USER_CODE_ALPHABET) for _ in range(USER_CODE_LENGTH))


def shown(user_code: str) -> str:
    """As people read it."""
    return f"{user_code[:4]}-{user_code[4:]}"


def user_code_of(text: str) -> str | None:
    """The code that people mean by `text`, however they wrote it; None for what is none."""
    code = "".join(character for character in text.upper() if character not in " -_.")
    is_code = len(code) == USER_CODE_LENGTH and all(character in USER_CODE_ALPHABET for character in code)
    return code if is_code else None

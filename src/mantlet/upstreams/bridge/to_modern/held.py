"""Calls that wait for what their server wants to know of the client, and the answers that find them.

An answer comes by a request of its own, at whichever process. The id of the question says where it was asked, and holds
128 random bits; who answers must hold the session it was put to.
"""

import asyncio
import base64
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from mantlet.core.refusal import Overloaded
from mantlet.upstreams.bridge.config import BridgeConfig
from mantlet.upstreams.bridge.to_modern.mail import Mail
from mantlet.upstreams.bridge.to_modern.session import Session
from mantlet.wire.mcp.bridge import to_modern_inputs as inputs
from mantlet.wire.mcp.bridge.to_modern_inputs import Question, Raw

CallerKey = tuple[str, str, str]

_IDENTITY: Final = re.compile(r"([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{1,64})")


class Round:
    """The questions of one round. `done` is set when all are answered, or one with an error."""

    def __init__(self, session_key: str, caller: CallerKey, asked: dict[str, Question]) -> None:
        self.session_key = session_key
        self.caller = caller
        self.left = asked
        """Those not answered yet, by the token in their id."""
        self.answers: dict[str, Raw] = {}
        self.error: Raw | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answer(self, token: str, body: bytes) -> None:
        """Take in a client's response."""
        question = self.left.pop(token)
        result, error = inputs.response(body)
        if result is None:
            self.error = error or Raw(b'{"code":-32602,"message":"The client\'s answer cannot be used."}')
        else:
            self.answers[question.key] = result
        if (self.error is not None or not self.left) and not self.done.done():
            self.done.set_result(None)


class Held:
    """All rounds of this process with one server that wait for their client."""

    def __init__(self, config: BridgeConfig, mail: Mail, random_bytes: Callable[[int], bytes]) -> None:
        self._config = config
        self._mail = mail
        self._random_bytes = random_bytes
        self._waiting: dict[str, Round] = {}
        self._rounds = 0
        self._of_caller: Counter[CallerKey] = Counter()
        mail.on("response", self._came)

    def __len__(self) -> int:
        return self._rounds

    def open(self, session: Session, caller: CallerKey, asked: Sequence[Question]) -> Round:
        """A round whose answers are waited for until `close`. Raises `Overloaded`."""
        if self._rounds >= self._config.max_held:
            raise Overloaded(why=f"{self._rounds} calls wait for input (mcp.bridge.max_held)")
        if self._of_caller[caller] >= self._config.max_held_per_caller:
            raise Overloaded(
                "Too many of your calls wait for input.", why="mcp.bridge.max_held_per_caller calls wait for input"
            )
        made = Round(session.key, caller, {self._token(): question for question in asked})
        for token in made.left:
            self._waiting[token] = made
        self._rounds += 1
        self._of_caller[caller] += 1
        return made

    def close(self, made: Round) -> None:
        """Wait no longer."""
        for token in made.left:
            self._waiting.pop(token, None)
        self._rounds -= 1
        self._of_caller[made.caller] -= 1
        if not self._of_caller[made.caller]:
            del self._of_caller[made.caller]

    def identity(self, token: str) -> str:
        """The JSON-RPC id of the question with this token."""
        return f"{self._mail.address}.{token}"

    async def respond(self, session: Session, identity: Any, body: bytes) -> None:
        """Bring a response to the call it is for, wherever that waits. One that is for none is dropped."""
        match = _IDENTITY.fullmatch(identity) if type(identity) is str else None
        if match is not None:
            await self._mail.tell(match[1], "response", match[2], session.key, body)

    async def _came(self, token: str, session_key: str, body: bytes) -> None:
        made = self._waiting.get(token)
        if made is None or made.session_key != session_key:
            return  # answered before, given up, or another's to answer
        del self._waiting[token]
        made.answer(token, body)

    def _token(self) -> str:
        return base64.urlsafe_b64encode(self._random_bytes(16)).rstrip(b"=").decode()

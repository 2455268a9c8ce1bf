"""`auth` in two steps, for who does not want to send the key: a challenge, and its answer (AUTHN-10).

A challenge is good once, on the connection that it was made for, for the key, the client's nonce and the endpoint that
were asked with, and for `MAX_AGE_S`. Whether there is such a key shows at the answer only.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mantlet.core.key_proof import KeyProof, message_of
from mantlet.core.refusal import InvalidCredential, InvalidParams

MAX_AGE_S: Final = 30.0
CHALLENGE_BYTES: Final = 24
_KEY_ID: Final = re.compile(r"[0-9A-Za-z]{12}|config:[\x20-\x7e]{1,200}")
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{22,128}")
_SERVER: Final = re.compile(r"[\x21-\x7e]{0,200}")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One that is out."""

    key_id: str
    server: str
    text: str
    message: bytes
    until_s: float
    """On the monotonic clock."""

    def answered(self, params: Mapping[str, Any], now_s: float) -> KeyProof:
        """The answer, yet to be checked. Raises `InvalidParams`, or `InvalidCredential` when it is too late."""
        proof = params.get("proof")
        if params.keys() != {"proof"} or type(proof) is not str:
            raise InvalidParams('The answer to a challenge is "proof", and nothing else.')
        if now_s >= self.until_s:
            raise InvalidCredential("challenge: too old")
        return KeyProof(self.key_id, self.message, proof)


def is_asked(params: Mapping[str, Any]) -> bool:
    """Whether an `auth` asks for a challenge."""
    return "key" in params or "nonce" in params


def ask(params: Mapping[str, Any], now_s: float, max_age_s: float) -> Challenge:
    """A new one. Raises `InvalidParams`."""
    if params.keys() - {"key", "nonce", "server"}:
        raise InvalidParams('For a challenge, auth takes "key", "nonce" and, for one server, "server".')
    key_id = _fitting(_KEY_ID, params.get("key"), '"key" must be the id of an API key: what stands behind mk_.')
    nonce = _fitting(_NONCE, params.get("nonce"), '"nonce" must be 22 to 128 characters of base64url, new each time.')
    server = _fitting(_SERVER, params.get("server", ""), '"server" must be the name of one server.')
    text = secrets.token_urlsafe(CHALLENGE_BYTES)
    message = message_of(key_id, nonce, text, server)
    return Challenge(key_id, server, text, message, now_s + min(MAX_AGE_S, max_age_s))


def _fitting(pattern: re.Pattern[str], text: Any, otherwise: str) -> str:
    if type(text) is not str or pattern.fullmatch(text) is None:
        raise InvalidParams(otherwise)
    return text

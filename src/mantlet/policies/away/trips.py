"""There and back: a state is good once, for ten minutes, in the browser that was sent, for the server it was sent to.

The answer of an authorization server comes as a link on somebody's page: whoever can make a browser follow one can try.
So nothing of it counts before state, cookie and issuer fit, of an error no more than of a code (RFC 9700 section 2.1,
RFC 9207), and no word of it is shown.
"""

import hashlib
import secrets
from html import escape
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from mantlet.core.call import Arrival, Reply
from mantlet.core.ports import State
from mantlet.core.refusal import GrantRefused, Refusal
from mantlet.policies.away.port import Flow
from mantlet.policies.pages import pages
from mantlet.policies.pages.form import needed, parameters

LIFE_S: Final = 600.0
"""OAUTH-03: ten minutes at most."""
MAX_CODE_CHARACTERS: Final = 4_096
UNREACHABLE: Final = "temporarily_unavailable"
_OVERLAP_S: Final = 60.0
_TWICE: Final = "This answer was taken already, is too old, or belongs to another browser. Begin again."
_DOWN: Final = "The login there cannot be used now. Nothing was done; try again later."


class _Sent(msgspec.Struct, frozen=True, array_like=True):
    """A browser on its way."""

    flow: str
    verifier: str
    cookie: str
    """A digest of what its cookie holds."""
    asked: bytes

    def __repr__(self) -> str:
        return f"_Sent({self.flow})"


class Trips:
    """Those for one purpose. `asked` is what the purpose needs to know when the browser is back; it stays here.

    Raises `GrantRefused`, whose text may be shown, and `StoreUnavailable`.
    """

    def __init__(self, state: State, *, is_secure: bool, purpose: str) -> None:
        self._state, self._purpose = state, purpose
        self._prefix = f"__Host-mantlet-{purpose}-" if is_secure else f"mantlet-{purpose}-"
        self._secure = "; Secure" if is_secure else ""

    async def away(self, arrival: Arrival, flow: Flow, asked: bytes) -> Reply:
        """The page that sends the browser there."""
        state, cookie = secrets.token_urlsafe(32), secrets.token_urlsafe(16)
        try:
            url, verifier = await flow.begin(state)
        except Refusal as refusal:
            raise _down(arrival, refusal) from refusal
        sent = _Sent(flow.name, verifier, digest(cookie), asked)
        await self._state.put(self._key("sent", state), msgspec.msgpack.encode(sent), LIFE_S)
        # Lax: the way back is a link on another site. Named after the state, so that two at a time do not collide.
        name = f"{self._prefix}{digest(state)[:16]}"
        return going(url, f"{name}={cookie}; Path=/; HttpOnly; SameSite=Lax; Max-Age={LIFE_S:.0f}{self._secure}")

    async def back(self, arrival: Arrival, flow: Flow) -> tuple[bytes, Any]:
        """What the browser was sent for, and the tokens that it brings. Of answers that come at once one is taken."""
        answer = parameters(arrival.query)
        state = needed(answer, "state")
        raw = await self._state.get(self._key("sent", state))
        sent = None if raw is None else msgspec.msgpack.decode(raw, type=_Sent)
        if sent is None or sent.flow != flow.name or not self._has_cookie(arrival, state, sent):
            raise GrantRefused("access_denied", _TWICE)
        if not await self._spend(state):
            raise GrantRefused("access_denied", _TWICE)
        try:
            if not await flow.is_own(answer.get("iss")):
                raise GrantRefused("invalid_request", "This answer is another server's. Nothing was done.")
            code = answer.get("code", "")
            if "error" in answer or not 0 < len(code) <= MAX_CODE_CHARACTERS:
                arrival.trail.notes["answered"] = _word(answer.get("error", "no code"))
                raise GrantRefused("access_denied", "You were given no access there. Nothing was done.")
            tokens = await flow.redeem(code, sent.verifier)
        except GrantRefused:
            raise
        except Refusal as refusal:
            raise _down(arrival, refusal) from refusal
        if isinstance(tokens, str):
            arrival.trail.notes["answered"] = _word(tokens)
            raise GrantRefused("access_denied", "What you were given there is no longer good. Begin again.")
        return sent.asked, tokens

    async def _spend(self, state: str) -> bool:
        mine = secrets.token_bytes(8)
        is_first = await self._state.claim(self._key("spent", state), mine, LIFE_S + _OVERLAP_S) == mine
        await self._state.drop(self._key("sent", state))
        return is_first

    def _key(self, what: str, state: str) -> tuple[str, ...]:
        return ("away", self._purpose, what, digest(state))

    def _has_cookie(self, arrival: Arrival, state: str, sent: _Sent) -> bool:
        name = f"{self._prefix}{digest(state)[:16]}=".encode()
        pairs = [pair.strip() for line in arrival.headers.all(b"cookie") for pair in line.split(b";")]
        values = [pair[len(name) :] for pair in pairs if pair.startswith(name)]
        return any(secrets.compare_digest(digest(value.decode("latin-1")), sent.cookie) for value in values)


def going(url: str, cookie: str) -> Reply:
    """Send the browser on. Not by a redirect: a page's own policy bounds where a form of it may end, and nobody knows
    through how many hosts a login leads."""
    host = urlsplit(url).netloc
    body = f'<p>You are being sent to {escape(host)}.</p><p><a rel="noreferrer" href="{escape(url)}">Go on</a></p>'
    return pages.page("One moment", body, cookie=cookie, refresh=url)


def refused(arrival: Arrival, refusal: GrantRefused) -> Reply:
    """The page for a trip that did not come about."""
    arrival.trail.notes.setdefault("refused", refusal.error)
    return pages.problem(refusal.detail, 502 if refusal.error == UNREACHABLE else 400)


def digest(secret: str) -> str:
    """The name under which what belongs to a secret is kept."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _down(arrival: Arrival, refusal: Refusal) -> GrantRefused:
    arrival.trail.notes["refused"] = refusal.why[:300]
    return GrantRefused(UNREACHABLE, _DOWN)


def _word(text: str) -> str:
    """A stranger's word, for the record."""
    return "".join(character for character in text[:64] if character.isalnum() or character in "_-. ")

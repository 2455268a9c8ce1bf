"""Opaque tokens: whoever issued them is asked, once for all who bring the same token at the same time."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final

from mantlet.core.call import Arrival
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.ports import Fetch
from mantlet.core.refusal import InvalidCredential, Overloaded
from mantlet.core.tasks import Tasks
from mantlet.policies.authenticate.claims import Expectation
from mantlet.policies.authenticate.introspection.asking import Client, ask
from mantlet.policies.authenticate.introspection.held import HeldTokens
from mantlet.policies.authenticate.issuers.kept import Kept
from mantlet.policies.authenticate.issuers.mapping import Meaning, read
from mantlet.policies.authenticate.issuers.source import Learned
from mantlet.policies.authenticate.terms import terms_of
from mantlet.wire.jws import looks_like_token

METHOD: Final = "introspection"
MAX_CACHE_S: Final = 60.0
MAX_ASKED: Final = 64
"""Questions under way at one issuer; more are turned away, so that a flood of made-up tokens is not passed on to it."""


class Introspection:
    """Asks one issuer about tokens."""

    is_costly = True
    leeway_s = 0.0

    def __init__(
        self,
        name: str,
        expected: Expectation,
        meaning: Meaning,
        *,
        learned: Kept[Learned],
        client: Client,
        fetch: Fetch,
        clock: Clock,
        tasks: Tasks,
        held: HeldTokens,
        prefix: bytes = b"",
        fresh_s: float = MAX_CACHE_S,
    ) -> None:
        self.name, self.fresh_s = name, fresh_s
        self._expected, self._meaning, self._terms = expected, meaning, terms_of(expected, meaning)
        self._learned, self._client, self._fetch = learned, client, fetch
        self._clock, self._tasks, self._held, self._prefix = clock, tasks, held, prefix
        self._asked: dict[bytes, asyncio.Task[Mapping[str, Any]]] = {}

    async def recognise(self, arrival: Arrival, credential: bytes, /) -> Caller | None:
        """The caller of an opaque token; None for what has a form of its own, or another issuer's beginning."""
        if looks_like_token(credential) or not credential.startswith(self._prefix):
            return None
        caller = await self._find(credential)
        return replace(caller, vouched_by=f"{self._terms} {self._held.keep(credential, caller, self.fresh_s)}")

    async def confirm(self, credential: bytes) -> str:
        """For a signed token that the issuer still holds for active: the word that `holds` knows it by.

        Raises `InvalidCredential` for another.
        """
        await self._ask(credential)
        return self._held.keep(credential, None, self.fresh_s)

    def is_current(self, caller: Caller, /) -> bool | None:
        """Whether the token has not expired, its issuer's tokens still mean what they meant, and this one still holds
        there."""
        if caller.method != METHOD or caller.issuer != self._expected.issuer:
            return None
        terms, _, name = caller.vouched_by.partition(" ")
        if terms not in ("", self._terms) or caller.expires_at_s is None or self._clock.wall() >= caller.expires_at_s:
            return False
        return self._held.holds(name, caller, self._find, self.fresh_s)

    def holds(self, name: str, caller: Caller) -> bool:
        """Whether the signed token that `confirm` called `name` still holds: asked again as often as it is believed."""
        return self._held.holds(name, caller, self._confirmed, self.fresh_s)

    async def _find(self, credential: bytes) -> Caller:
        claims, now_s = await self._ask(credential), self._clock.wall()
        return read(_whole(claims, self._expected.issuer, now_s), self._expected, self._meaning, now_s, METHOD)

    async def _confirmed(self, credential: bytes) -> None:
        await self._ask(credential)

    async def _ask(self, credential: bytes) -> Mapping[str, Any]:
        endpoint = (await self._learned.get()).introspection_endpoint
        key = sha256(credential).digest()
        task = self._asked.get(key)
        if task is None:
            if len(self._asked) >= MAX_ASKED:
                raise Overloaded(why=f"{self.name}: {MAX_ASKED} tokens are being asked about")
            question = ask(self._fetch, endpoint, self._client, credential)
            # It tells whoever waits for it what it raised; with nobody left that is nobody's concern.
            task = self._tasks.start(question, f"introspection.{self.name}", tells_itself=True)
            self._asked[key] = task
            task.add_done_callback(lambda done: self._done(key, done))
        await asyncio.wait((task,))  # whoever leaves takes the question from nobody, and leaves nothing on it
        return task.result()

    def _done(self, key: bytes, task: asyncio.Task[Mapping[str, Any]]) -> None:
        self._asked.pop(key, None)
        if not task.cancelled():
            task.exception()  # looked at: asyncio would warn of one that nobody took


def _whole(claims: Mapping[str, Any], issuer: str, now_s: float) -> Mapping[str, Any]:
    """`claims` with what an answer may leave out and a token may not (RFC 7662 section 2.2).

    The issuer is who was asked, so a missing `iss` is that; one that stands there is compared. A token that does not
    say when it was made has a bound on how long it lives from now. A client's own names its client, and nobody else.
    """
    whole = {"iss": issuer, "iat": int(now_s), **claims}
    if "sub" not in claims and type(claims.get("client_id")) is str:
        whole["sub"] = claims["client_id"]
    if claims.get("token_type", "Bearer") not in ("Bearer", "bearer", "DPoP", "access_token"):
        raise InvalidCredential("token: the issuer says that it is not an access token")
    return whole

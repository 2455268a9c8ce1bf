"""Nonces that a client must put into its proofs, so that none can be made in advance (RFC 9449 section 9).

Time is cut into slots, and each slot has one random nonce for everybody: whoever asks first draws it, and all processes
that share `state` have the same. A nonce tells nobody anything and spends nothing: what makes a proof single-use is its
`jti`, the nonce only says that the proof is younger than two slots.
"""

import hmac
import secrets
from typing import Final

from mantlet.core.clock import Clock
from mantlet.core.ports import State
from mantlet.core.refusal import NonceRequired

STATE: Final = "dpop-nonce"
_BYTES: Final = 16


class Nonces:
    """The nonce of this slot, which clients are told, and that of the one before, which is taken still."""

    def __init__(self, state: State, clock: Clock, life_s: int) -> None:
        self._state, self._clock, self._life_s = state, clock, life_s
        self._drawn: dict[int, str] = {}
        """Of two slots; the rest is forgotten."""

    async def check(self, said: object) -> str:
        """Which nonce the client shall use from now on, where another than this one; empty text: this one.

        Raises `NonceRequired` for a proof without a nonce or with one that no longer holds, `StoreUnavailable`.
        """
        slot = int(self._clock.wall() // self._life_s)
        wanted = await self._of(slot)
        if type(said) is str and said.isascii():
            if hmac.compare_digest(said, wanted):
                return ""
            if hmac.compare_digest(said, await self._of(slot - 1)):
                return wanted
        raise NonceRequired(wanted, why="proof: no nonce" if said is None else "proof: the nonce is none of ours now")

    async def _of(self, slot: int) -> str:
        nonce = self._drawn.get(slot)
        if nonce is None:
            drawn = secrets.token_urlsafe(_BYTES).encode()
            # Longer than it is taken, for processes whose clocks differ.
            nonce = (await self._state.claim((STATE, str(self._life_s), str(slot)), drawn, 3 * self._life_s)).decode()
            self._drawn[slot] = nonce
            self._drawn = {known: text for known, text in self._drawn.items() if known >= slot - 1}
        return nonce

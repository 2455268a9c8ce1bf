"""The check of the header `DPoP`: one proof, by the right key, for this request, never seen before."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from mantlet.core.call import Arrival
from mantlet.core.clock import Clock
from mantlet.core.ports import State
from mantlet.core.refusal import InvalidCredential, InvalidProof
from mantlet.policies.authenticate.credential import take
from mantlet.policies.authenticate.dpop.nonces import Nonces
from mantlet.policies.authenticate.dpop.proof import TYPE, check, place_of
from mantlet.wire.jws import Jws, parse_proof

DPOP: Final = b"dpop"
_FIELDS: Final = frozenset({DPOP})
STATE: Final = "dpop"
MAX_BYTES: Final = 8192

CheckSignature = Callable[[Jws, Mapping[str, Any]], str]
"""The thumbprint of the key that a proof brings, when the proof is signed by it (`keys.proof.check_proof`)."""


class DpopProofs:
    """Proofs are single-use for all processes that share `state`, for as long as they could be taken (section 11.1)."""

    def __init__(
        self,
        *,
        check_signature: CheckSignature,
        state: State,
        clock: Clock,
        public_url: str,
        algorithms: Sequence[str],
        max_age_s: float,
        leeway_s: float,
        nonces: Nonces | None = None,
    ) -> None:
        self.algorithms = tuple(algorithms)
        self._check_signature, self._state, self._clock = check_signature, state, clock
        self._max_age_s, self._leeway_s = max_age_s, leeway_s
        self._nonces = nonces
        self._root = place_of(public_url)

    async def check(self, arrival: Arrival, jkt: str, /) -> str:
        """See `binding.Proofs`."""
        headers = arrival.headers
        raw = headers.get(DPOP)
        if raw is None or len(raw) > MAX_BYTES or headers.repeated(_FIELDS) is not None:
            raise InvalidProof("proof: there is not exactly one")
        try:
            jws, jwk = parse_proof(raw)
        except InvalidCredential as error:
            raise InvalidProof(error.why) from error
        if jws.type != TYPE or jws.algorithm not in self.algorithms:
            raise InvalidProof("proof: typ or alg")
        if self._root is None or arrival.trail.door == "admin":
            # Proofs are made for the public URL; what is not called there has none that could be compared.
            raise InvalidProof("proof: this door has no public URL")
        scheme, host, port, prefix = self._root
        jti = check(
            jws.claims,
            method=arrival.verb,
            place=(scheme, host, port, prefix.rstrip("/") + arrival.path),
            token=take(headers, arrival.query),
            now_s=self._clock.wall(),
            max_age_s=self._max_age_s,
            leeway_s=self._leeway_s,
        )
        if self._check_signature(jws, jwk) != jkt:
            raise InvalidProof("proof: by another key than the token's")
        # After the signature: only the key's holder learns of nonces, and only then has the proof no other fault.
        fresh = "" if self._nonces is None else await self._nonces.check(jws.claims.get("nonce"))
        await self._use(jkt, jti)
        return fresh

    async def _use(self, jkt: str, jti: str) -> None:
        # Last: only the holder of a key that a good token names gets to write anything down.
        mine = secrets.token_bytes(16)
        key = (STATE, sha256(f"{jkt}\n{jti}".encode()).hexdigest())
        if await self._state.claim(key, mine, self._max_age_s + self._leeway_s + 1) != mine:
            raise InvalidProof("proof: was used before")

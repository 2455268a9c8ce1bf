"""Callers on the word of another node, as providers of the step `authenticate`."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

import msgspec

from mantlet.core.call import Arrival
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.refusal import InvalidCredential
from mantlet.policies.forwarded.config import PeerConfig
from mantlet.policies.forwarded.receiver import Receiver, is_sealed
from mantlet.wire.forwarded import Forwarded, request_digest
from mantlet.wire.jws import looks_like_token, parse

METHOD: Final = "forwarded"
FRESH_S: Final = 60.0
_BODILESS: Final = frozenset({"GET", "HEAD", "DELETE"})


class Peer:
    """One peer: a caller of it is (tenant here, its `iss`, the token's `sub`), whatever else the token says."""

    def __init__(self, config: PeerConfig, receiver: Receiver) -> None:
        self.receiver = receiver
        self.issuer = config.issuer
        self.terms = sha256(msgspec.json.encode(config, enc_hook=str, order="deterministic")).hexdigest()
        self._config = config

    def caller(self, found: Forwarded) -> Caller:
        """With the rights that it has here."""
        config = self._config
        mapped = {config.role_map[role] for role in found.roles if role in config.role_map}
        return Caller(
            found.principal,
            config.issuer,
            METHOD,
            tenant=config.tenant,
            kind=found.kind,
            roles=frozenset({*config.roles, *mapped}),
            scopes=found.scopes & frozenset(config.scopes),
            expires_at_s=found.expires_at_s,
            credential_id=found.jti,
            act=found.actors,
            vouched_by=self.terms,
        )


class _Callers:
    is_costly = True
    leeway_s = 0.0

    def __init__(self, peers: Sequence[Peer], clock: Clock) -> None:
        self._peers: Mapping[str, Peer] = {peer.issuer: peer for peer in peers}
        self._clock = clock

    def is_current(self, caller: Caller, /) -> bool | None:
        """Whether its token has not ended, and its peer is taken at its word on the same terms."""
        if caller.method != METHOD or caller.issuer not in self._peers:
            return None
        if caller.vouched_by not in ("", self._peers[caller.issuer].terms):
            return False
        return caller.expires_at_s is not None and self._clock.wall() < caller.expires_at_s


class ExchangedCallers(_Callers):
    """`forward_identity: exchange` there."""

    fresh_s = FRESH_S

    async def recognise(self, arrival: Arrival, credential: bytes, /) -> Caller | None:
        """The caller of a token that a peer signed; None for another's."""
        if is_sealed(credential) or not looks_like_token(credential):
            return None
        peer = self._peers.get(str(parse(credential).claims.get("iss")))
        return None if peer is None else peer.caller(await peer.receiver.exchanged(credential))


class SealedCallers(_Callers):
    """`forward_identity: encrypt` there."""

    fresh_s = 0.0
    """It is for one request: to remember it would be to take it twice."""

    async def recognise(self, arrival: Arrival, credential: bytes, /) -> Caller | None:
        """The caller of a token that is sealed for this node; None for what is not sealed.

        The body is read here, before its turn, and only for a token that is a peer's own.
        """
        if not is_sealed(credential):
            return None
        if arrival.is_message:
            raise InvalidCredential("sealed: is for one HTTP request")

        async def digest() -> str:
            if arrival.body is None and arrival.verb not in _BODILESS:
                arrival.body, arrival.incoming = await arrival.read(), None
            target = arrival.path.encode() + (b"?" + arrival.query if arrival.query else b"")
            return request_digest(arrival.verb.encode(), target, arrival.body or b"")

        refusal = InvalidCredential("sealed: no peer is known here")
        for peer in self._peers.values():
            try:
                claims = await peer.receiver.open(credential)
            except InvalidCredential as error:
                refusal = error  # another peer's, perhaps: nothing in it says whose before it is open
                continue
            return peer.caller(await peer.receiver.admit(claims, digest))
        raise refusal

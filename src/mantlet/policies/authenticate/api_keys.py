"""API keys: those of the config, hashed in memory, and those of the store (AUTHN-05)."""

from collections.abc import Iterable, Mapping
from typing import Final

from mantlet.core.api_key import PREFIX, ApiKeyRecord, ApiKeyStore, hash_of, id_of, is_same
from mantlet.core.call import Arrival
from mantlet.core.caller import Binding, Caller
from mantlet.core.clock import Clock
from mantlet.core.key_proof import KeyProof, check
from mantlet.core.refusal import InvalidCredential

ISSUER: Final = "mantlet:api-key"
METHOD: Final = "api_key"
FRESH_S: Final = 1.0
"""On top of the three seconds that a store may be late: a revocation acts within 5 s (AUTHN-06)."""
_NO_HASH: Final = "0" * 64


class ApiKeyProvider:
    """Keys found by their public id. Cheap, so it is never behind the failure limit: an owner always gets in."""

    is_costly = False
    fresh_s = FRESH_S
    leeway_s = 0.0

    def __init__(
        self, bootstrap: Iterable[ApiKeyRecord], store: ApiKeyStore | None, pepper: bytes, clock: Clock
    ) -> None:
        self._bootstrap: Mapping[str, ApiKeyRecord] = {record.hash: record for record in bootstrap}
        self._ids: Mapping[str, ApiKeyRecord] = {record.id: record for record in self._bootstrap.values()}
        self._store, self._pepper, self._clock = store, pepper, clock

    async def recognise(self, arrival: Arrival, credential: bytes, /) -> Caller | None:
        """The owner of a key; None for what was never a key. Raises `InvalidCredential`, `StoreUnavailable`."""
        presented = hash_of(credential, self._pepper)
        # A dict shows by its time where two hashes differ; the hash is keyed, so nobody outside can steer it.
        record = self._bootstrap.get(presented)
        if record is None:
            if not credential.startswith(PREFIX.encode()):
                return None
            record = await self._stored(credential, presented)
        now_s = self._clock.wall()
        if not record.is_live(now_s):
            raise InvalidCredential(f"api key {record.id}: revoked or expired")
        if self._store is not None and record.id not in self._ids:
            self._store.touch(record.id, now_s)
        return _caller_of(record)

    async def prove(self, proof: KeyProof, /) -> Caller:
        """The owner of the key that `proof` was made with. Raises `InvalidCredential`, `StoreUnavailable`."""
        record = self._ids.get(proof.key_id)
        is_own = record is not None
        if record is None and self._store is not None:
            record = await self._store.find(proof.key_id)
        # An unknown id is checked as well, so that time does not tell it from a wrong proof.
        if not check(proof, "" if record is None else record.verifier, self._pepper) or record is None:
            raise InvalidCredential(f"api key {proof.key_id}: unknown, without a verifier, or a wrong proof")
        now_s = self._clock.wall()
        if not record.is_live(now_s):
            raise InvalidCredential(f"api key {record.id}: revoked or expired")
        if self._store is not None and not is_own:
            self._store.touch(record.id, now_s)
        return _caller_of(record)

    def is_current(self, caller: Caller, /) -> bool | None:
        """Whether the key would still be accepted, and gives all that `caller` has: a reload may have put another key
        under its name, or taken a role from it."""
        if caller.method != METHOD or caller.issuer != ISSUER:
            return None
        return self.gives(caller.credential_id, caller)

    def gives(self, key_id: str, caller: Caller, /) -> bool:
        """Whether the key `key_id` is accepted, and gives its owner all that `caller` has."""
        record = self._ids.get(key_id)
        if record is None and self._store is not None:
            if not self._store.is_known(key_id):
                return True  # fetched meanwhile: the caller was recognised, and who asks does so every second or two
            record = self._store.known(key_id)
        if record is None or not record.is_live(self._clock.wall()):
            return False
        is_same_key = caller.method != METHOD or caller.vouched_by in ("", _word_of(record))
        return is_same_key and _gives(record, caller)

    async def recall(self, caller: Caller, /) -> None:
        """Have at hand what `is_current` is asked about a caller whom another process recognised."""
        if caller.method == METHOD and caller.issuer == ISSUER:
            await self.recall_key(caller.credential_id)

    async def recall_key(self, key_id: str, /) -> None:
        """Have at hand what `gives` is asked about a key. Raises `StoreUnavailable`."""
        if self._store is not None and key_id not in self._ids:
            await self._store.find(key_id)

    async def _stored(self, credential: bytes, presented: str) -> ApiKeyRecord:
        key_id = id_of(credential)
        if key_id is None or self._store is None:
            raise InvalidCredential("api key: malformed or unknown")
        record = await self._store.find(key_id)
        # An unknown id is compared with something as well, so that time does not tell it from a wrong secret.
        if not is_same(_NO_HASH if record is None else record.hash, presented) or record is None:
            raise InvalidCredential(f"api key {key_id}: unknown or wrong")
        return record


def _caller_of(record: ApiKeyRecord) -> Caller:
    return Caller(
        record.owner,
        ISSUER,
        METHOD,
        tenant=record.tenant,
        kind=record.kind,
        roles=record.roles,
        scopes=record.scopes,
        expires_at_s=record.expires_at_s,
        credential_id=record.id,
        binding=Binding(doors=record.doors) if record.doors else None,
        vouched_by=_word_of(record),
    )


def _word_of(record: ApiKeyRecord) -> str:
    # Enough to tell two keys apart; the whole hash stays where it is.
    return record.hash[:16]


def _gives(record: ApiKeyRecord, caller: Caller) -> bool:
    is_owner = (record.owner, record.tenant, record.kind) == (caller.subject, caller.tenant, caller.kind)
    return is_owner and caller.roles <= record.roles and caller.scopes <= record.scopes

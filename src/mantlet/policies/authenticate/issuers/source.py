"""What is learned of one issuer from itself: its keys, and where it answers about tokens."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, Protocol

from mantlet.core.ports import Fetch, Fetched
from mantlet.policies.authenticate.issuers.discovery import MAX_BYTES, Metadata, is_same_host, read_metadata, well_known
from mantlet.wire.jws import Jws

FETCH_TIMEOUT_S: Final = 5.0
_ACCEPT: Final = ((b"accept", b"application/json"),)
_KEYS: Final = ((b"accept", b"application/jwk-set+json, application/json"),)


class Keys(Protocol):
    """The verification keys of one issuer (`keys.ring.KeyRing`)."""

    def has(self, jws: Jws, /) -> bool:
        """Whether the key that `jws` names is among them."""
        ...

    def check(self, jws: Jws, /) -> str:
        """What names the key that made the signature; raises `InvalidCredential` when none of them did."""
        ...

    def names(self) -> Collection[str]:
        """What names each of the keys."""
        ...


OpenKeys = Callable[[bytes, Collection[str], str], Keys]
"""The keys of a published set for some algorithms (`keys.ring.published_ring`); raises `ValueError` without any."""


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """One answer of an issuer about itself. `keys` is None where none were asked for."""

    keys: Keys | None
    introspection_endpoint: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where to learn about one issuer. Every request goes through the egress guard, by `fetch`."""

    issuer: str
    jwks_url: str
    """As configured; empty: found by discovery."""
    introspection_url: str
    """As configured; empty: found by discovery, if `wants_introspection`."""
    wants_introspection: bool
    algorithms: Collection[str]
    fetch: Fetch
    open_keys: OpenKeys
    is_plain_allowed: bool = False

    async def learn(self) -> Learned:
        """Ask the issuer; raises a `Refusal` or `ValueError`."""
        is_discovered = not self.jwks_url or (self.wants_introspection and not self.introspection_url)
        found = await self._discover() if is_discovered else Metadata()
        jwks_url = self.jwks_url or found.jwks_uri
        if not jwks_url:
            raise ValueError("the metadata names no jwks_uri")
        answer = await self._get(jwks_url, _KEYS)
        if answer.status != 200:
            raise ValueError(f"the key set was answered with {answer.status}")
        return Learned(self.open_keys(answer.body, self.algorithms, jwks_url), self._introspection(found))

    def _introspection(self, found: Metadata) -> str:
        if not self.wants_introspection or self.introspection_url:
            return self.introspection_url
        if not found.introspection_endpoint:
            raise ValueError("the metadata names no introspection_endpoint")
        if not is_same_host(found.introspection_endpoint, self.issuer):
            # The client secret goes only to hosts that the operator named (OAUTH-02).
            raise ValueError("introspection_endpoint is on another host than the issuer; set introspection.url to it")
        return found.introspection_endpoint

    async def _discover(self) -> Metadata:
        for url in well_known(self.issuer):
            answer = await self._get(url, _ACCEPT)
            if answer.status == 200:
                # The first that is there is the one: a mismatch is never a reason to look for something that fits.
                return read_metadata(answer.body, self.issuer, is_plain_allowed=self.is_plain_allowed)
        raise ValueError("no metadata is published for the issuer")

    async def _get(self, url: str, headers: tuple[tuple[bytes, bytes], ...]) -> Fetched:
        return await self.fetch("GET", url, headers=headers, timeout_s=FETCH_TIMEOUT_S, max_bytes=MAX_BYTES)

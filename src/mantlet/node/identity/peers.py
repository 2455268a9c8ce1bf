"""Nodes whose word on their callers is taken here (`auth.peers`)."""

import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

from mantlet.core.clock import SYSTEM
from mantlet.core.config_error import ConfigError
from mantlet.core.ports import Fetch, State
from mantlet.core.refusal import UpstreamUnavailable
from mantlet.keys.files import read_public, read_secret
from mantlet.keys.ring import published_ring
from mantlet.node.config.model import Config
from mantlet.node.egress import open_fetcher
from mantlet.node.resources import public_url
from mantlet.policies.authenticate.provider import Provider
from mantlet.policies.forwarded.config import PeerConfig
from mantlet.policies.forwarded.provider import ExchangedCallers, Peer, SealedCallers
from mantlet.policies.forwarded.published import PublishedKeys
from mantlet.policies.forwarded.receiver import Receiver
from mantlet.policies.parse.policy import ENDPOINT
from mantlet.upstreams.client import TlsConfig
from mantlet.upstreams.egress import Guard
from mantlet.wire.forwarded import Expected

ALGORITHMS: Final = ("Ed25519", "EdDSA", "ES256", "RS256")
KEY_SET: Final = "/.well-known/jwks.json"
_STATE: Final = "forwarded"


def open_peers(config: Config, guard: Guard, state: State, opened: AsyncExitStack) -> list[Provider]:
    """What recognises their callers, to be asked first: what is sealed is a token to others too, and a bad one.

    Raises `ConfigError` or `ValueError` for keys that cannot be used.
    """
    given = config.auth.peers
    if not given:
        return []
    issuers = [peer.issuer for peer in given]
    if twice := sorted({one for one in issuers if issuers.count(one) > 1}):
        raise ConfigError("auth.peers", f"two are called {twice[0]}")
    used = StateUsed(state)
    peers = [Peer(peer, _receiver(config, peer, guard, used, opened)) for peer in given]
    return [SealedCallers(peers, SYSTEM), ExchangedCallers(peers, SYSTEM)]


class StateUsed:
    """`policies.forwarded.receiver.Used` for all processes of a node."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def first(self, jti: str, life_s: float, /) -> bool:
        """See the port."""
        mine = secrets.token_bytes(16)
        return await self._state.claim((_STATE, jti), mine, life_s) == mine


def _receiver(config: Config, peer: PeerConfig, guard: Guard, used: StateUsed, opened: AsyncExitStack) -> Receiver:
    from mantlet.keys.forwarded import PrivateKeyOpener, SharedKeyOpener, read_recipient

    key = peer.key or (read_secret(peer.key_file) if peer.key_file else None)
    keys = PublishedKeys(
        _key_set(config, peer, guard, opened), lambda body: published_ring(body, ALGORITHMS, peer.issuer), SYSTEM
    )
    opened.push_async_callback(keys.close)
    private = peer.private_key_file
    return Receiver(
        Expected(peer.issuer, peer.audience or f"{public_url(config)}{ENDPOINT}", config.environment),
        SYSTEM,
        used=used,
        keys=keys,
        signed=PrivateKeyOpener([read_recipient(private, private=True)]) if private else None,
        shared=SharedKeyOpener([key]) if key else None,
    )


def _key_set(config: Config, peer: PeerConfig, guard: Guard, opened: AsyncExitStack) -> Callable[[], Awaitable[bytes]]:
    if (file := peer.jwks_file) is not None:

        async def read() -> bytes:
            return read_public(file).encode()

        return read
    url = peer.jwks_url or f"{peer.issuer.rstrip('/')}{KEY_SET}"
    fetcher = open_fetcher(config, guard, TlsConfig(ca_file=peer.ca_file))
    opened.push_async_callback(fetcher.close)
    fetch: Fetch = fetcher

    async def ask() -> bytes:
        answer = await fetch("GET", url, headers=[(b"accept", b"application/json")], max_bytes=262_144)
        if answer.status != 200:
            raise UpstreamUnavailable(why=f"{url} answered {answer.status}")
        return answer.body

    return ask

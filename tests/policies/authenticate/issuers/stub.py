"""An issuer without a network, and the step that takes its tokens."""

import asyncio
import base64
import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.certificate import PeerCertificate
from mantlet.core.clock import Clock
from mantlet.core.headers import Headers
from mantlet.core.ports import Fetched
from mantlet.core.record import Trail
from mantlet.core.refusal import UpstreamUnavailable
from mantlet.core.secret import Secret
from mantlet.core.tasks import Tasks
from mantlet.keys.algorithms import ALGORITHMS
from mantlet.keys.jwk import public_jwk
from mantlet.keys.proof import check_proof
from mantlet.keys.ring import published_ring
from mantlet.policies.authenticate.config import AuthConfig, FailuresConfig
from mantlet.policies.authenticate.dpop.opening import open_dpop
from mantlet.policies.authenticate.introspection.held import HeldTokens
from mantlet.policies.authenticate.issuers.config import DpopConfig, IssuerConfig
from mantlet.policies.authenticate.issuers.kept import Kept
from mantlet.policies.authenticate.issuers.opening import Opened, Ports, open_issuers
from mantlet.policies.authenticate.opening import open_authenticate, own_audience, parts_of
from mantlet.policies.authenticate.policy import Authenticate
from mantlet.stores.state import MemoryState

URL = "https://node.example"
MCP = f"{URL}/mcp"
NOW = 1_700_000_000.0
PUBLISHED = ("/mcp", "/mcp/one", "/mcp/two")


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def make_key(algorithm: str) -> Any:
    if algorithm.startswith(("RS", "PS")):
        return rsa.generate_private_key(65537, 2048)
    if algorithm.startswith("ES"):
        return ec.generate_private_key({"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1()}[algorithm])
    return ed25519.Ed25519PrivateKey.generate()


@dataclass(frozen=True)
class Key:
    """A signing key of an issuer."""

    kid: str
    algorithm: str
    private: Any

    @property
    def jwk(self) -> dict[str, str]:
        return {**public_jwk(self.private.public_key(), self.algorithm), "kid": self.kid}


def sign(header: Mapping[str, Any], claims: Mapping[str, Any], key: Key) -> str:
    """A compact JWS, whatever its header says: PyJWT is too polite to make bad ones."""
    heading = {"alg": key.algorithm, **header}
    signed = f"{b64(json.dumps(heading).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{signed}.{b64(ALGORITHMS[key.algorithm].sign(signed.encode(), key.private))}"


class StubIdp:
    """Answers like an issuer, by the port `Fetch`. `answers` overrides a path; `down` answers nothing."""

    def __init__(self, issuer: str = "https://idp.example", algorithm: str = "ES256") -> None:
        self.issuer = issuer
        self.keys = [Key("k1", algorithm, make_key(algorithm))]
        self.answers: dict[str, Fetched] = {}
        self.metadata: dict[str, Any] = {
            "issuer": issuer,
            "jwks_uri": f"{issuer}/jwks",
            "introspection_endpoint": f"{issuer}/introspect",
        }
        self.opaque: dict[str, Any] = {}
        self.asked: Counter[str] = Counter()
        self.seen: list[tuple[str, str, dict[bytes, bytes], bytes]] = []
        self.down = False
        self.gate: asyncio.Event | None = None

    def rotate(self, kid: str, algorithm: str = "ES256") -> None:
        self.keys = [Key(kid, algorithm, make_key(algorithm))]

    def token(self, key: Key | None = None, *, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        key = key or self.keys[0]
        whole: dict[str, Any] = {
            "iss": self.issuer, "sub": "alice", "aud": MCP, "iat": int(NOW), "exp": int(NOW) + 300, "jti": "t1",
            "client_id": "app", "scope": "mcp:read",
        }  # fmt: skip
        whole = {name: value for name, value in (whole | claims).items() if value is not None}
        heading = {"typ": "at+jwt", "kid": key.kid, **(header or {})}
        heading = {name: value for name, value in heading.items() if value is not None}
        return sign(heading, whole, key)

    async def __call__(
        self,
        method: str,
        url: str,
        /,
        *,
        headers: Sequence[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        timeout_s: float = 10.0,
        max_bytes: int = 1_048_576,
    ) -> Fetched:
        path = url.removeprefix(self.issuer)
        self.asked[path] += 1
        self.seen.append((method, url, dict(headers), body))
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise UpstreamUnavailable(why="connection refused")
        if path in self.answers:
            return self.answers[path]
        if path == "/.well-known/openid-configuration":
            return answer(self.metadata)
        if path == "/jwks":
            return answer({"keys": [key.jwk for key in self.keys]})
        if path == "/introspect":
            token = body.decode().split("token=")[1].split("&")[0]
            return answer(self.opaque.get(token, {"active": False}))
        return Fetched(404, Headers(), b"not here")


def answer(value: Any, status: int = 200) -> Fetched:
    return Fetched(status, Headers([(b"content-type", b"application/json")]), json.dumps(value).encode())


class Onward:
    def __init__(self) -> None:
        self.reached: list[Caller | None] = []

    async def __call__(self, arrival: Arrival, /) -> Reply:
        self.reached.append(arrival.caller)
        return Reply(200, [], b"")


@dataclass
class House:
    """The step with its issuers, and a clock that is turned by hand."""

    idps: Sequence[StubIdp]
    configs: Sequence[Mapping[str, Any]] = ({},)
    environment: Any = "production"
    dpop: DpopConfig | None = DpopConfig()
    passed_s: float = 0.0
    told: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)
    failures: int = 1000
    checks_audience: bool = True
    held: HeldTokens | None = None
    """What outlives a configuration; made when there is none yet."""

    def __post_init__(self) -> None:
        self.clock = Clock(lambda: 50.0 + self.passed_s, lambda: NOW + self.passed_s)
        self.state = MemoryState(self.clock)
        self.unexpected: list[BaseException] = []
        self.tasks = Tasks(self.unexpected.append)
        if self.held is None:
            self.held = HeldTokens(self.clock, self.tasks)
        self.onward = Onward()
        by_issuer = {idp.issuer: idp for idp in self.idps}

        async def fetch(method: str, url: str, /, **more: Any) -> Fetched:
            idp = next(one for issuer, one in by_issuer.items() if url.startswith(issuer))
            return await idp(method, url, **more)

        configs = []
        for index, (idp, config) in enumerate(zip(self.idps, self.configs, strict=True)):
            plain = {"name": f"idp{index}", "issuer": idp.issuer, "algorithms": (idp.keys[0].algorithm,)}
            configs.append(
                msgspec.convert(plain | dict(config), IssuerConfig, dec_hook=lambda kind, value: Secret(value))
            )
        self.opened: Opened = open_issuers(
            configs,
            Ports(lambda ca: fetch, published_ring, Secret, self.clock, self.tasks, self._tell, self.held),
            environment=self.environment,
            audience=own_audience(URL, PUBLISHED),
            parts=parts_of(URL, PUBLISHED),
            checks_audience=self.checks_audience,
        )
        self.policy = open_authenticate(
            AuthConfig(failures=FailuresConfig(per_address=self.failures, per_credential=8, window=60)),
            environment=self.environment,
            clock=self.clock,
            pepper=b"pepper-of-the-node-32-bytes-long",
            read_secret=Secret,
            public_url=URL,
            published=PUBLISHED,
            more=self.opened.providers,
            required_scopes=self.opened.required_scopes,
            proofs=None if self.dpop is None else open_dpop(
                self.dpop, check_signature=check_proof, state=self.state, clock=self.clock, public_url=URL
            ),
        )  # fmt: skip
        assert isinstance(self.policy, Authenticate)

    @property
    def kept(self) -> Kept[Any]:
        """What is learned of the first issuer."""
        return next(iter(self.opened.kept.values()))

    def _tell(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        self.told.append((level, event, fields))

    def arrival(
        self,
        token: str,
        *,
        scheme: str = "Bearer",
        path: str = "/mcp",
        proof: str | Sequence[str] = (),
        certificate: PeerCertificate | None = None,
        peer: str = "192.0.2.1",
        verb: str = "POST",
        door: str = "http",
    ) -> Arrival:
        async def read() -> bytes:
            return b""

        proofs = [proof] if isinstance(proof, str) else proof
        fields = [(b"authorization", f"{scheme} {token}".encode())] if token else []
        fields += [(b"dpop", one.encode()) for one in proofs]
        trail = Trail("r1", door, peer, NOW)
        return Arrival(verb, path, b"", Headers(fields), peer, read, 1e9, trail, True, peer_certificate=certificate)

    async def come(self, token: str, **more: Any) -> Caller:
        """Who it is; raises what it is refused with."""
        arrival = self.arrival(token, **more)
        await self.policy(arrival, self.onward)
        assert arrival.caller is not None
        return arrival.caller


def certificate(digest: bytes = b"c" * 32) -> PeerCertificate:
    return PeerCertificate((), ("client.example",), "1a", "00" * 32, digest.hex(), NOW + 1e6, True)


class Prover:
    """A client with a DPoP key."""

    def __init__(self, algorithm: str = "ES256") -> None:
        self.key = Key("", algorithm, make_key(algorithm))
        whole = public_jwk(self.key.private.public_key(), algorithm)
        self.jkt = whole["kid"]
        self.jwk = {name: whole[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in whole}

    def proof(self, token: str, *, header: Mapping[str, Any] | None = None, now_s: float = NOW, **claims: Any) -> str:
        whole: dict[str, Any] = {
            "jti": secrets.token_hex(8), "htm": "POST", "htu": MCP, "iat": int(now_s),
            "ath": b64(hashlib.sha256(token.encode()).digest()),
        }  # fmt: skip
        whole = {name: value for name, value in (whole | claims).items() if value is not None}
        heading = {"typ": "dpop+jwt", "jwk": self.jwk, **(header or {})}
        return sign(heading, whole, self.key)

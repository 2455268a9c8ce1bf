"""npm `oidc-provider` as a running identity provider, and the clients that ask it for tokens.

    @pytest.fixture(scope="module")
    def idp(tmp_path_factory):
        with running_idp(tmp_path_factory.mktemp("idp")) as idp:
            yield idp

Tests that use it carry `pytest.mark.node`, and `needs_node` where the packages may be absent. Everything here blocks:
from a test on the event loop call it through `asyncio.to_thread`.
"""

import base64
import contextlib
import hashlib
import html
import http.cookiejar
import json
import os
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from bench.rig import node
from bench.rig.process import Program, free_port

needs_node = pytest.mark.skipif(
    bool(node.missing()) or not (node.PACKAGES / "oidc-provider").exists(),
    reason=node.missing() or "oidc-provider is not in locks/npm/node_modules: `make node`",
)
SCRIPT = Path(__file__).with_name("oidc_provider.mjs")
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
REDIRECT = "http://127.0.0.1/callback"


class Refused(Exception):
    """The provider said no; `error` is its word, as in RFC 6749 section 5.2."""

    def __init__(self, status: int, answer: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {answer}")
        self.status, self.answer = status, answer
        self.error = answer.get("error", "")


@dataclass(frozen=True)
class Answer:
    """One answer of the provider."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass
class Idp:
    """A provider on loopback. `clients` of its own: machine, resource-server, exchanger, prover (DPoP), device,
    browser, and with TLS bound (mTLS); see the script. Users: alice, bob."""

    folder: Path
    port: int = field(default_factory=free_port)
    tls: Mapping[str, str] | None = None
    """`cert`, `key` and `ca` (of the clients), PEM."""
    settings: dict[str, Any] = field(default_factory=dict)
    _program: Program | None = None

    @property
    def issuer(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @staticmethod
    def secret(client: str) -> str:
        return f"{client}-secret-of-the-tests-0123456789"

    def start(self) -> None:
        settings = {**self.settings, "port": self.port, "tls": self.tls}
        self._program = Program(
            [str(node.NODE), str(SCRIPT)],
            self.folder / f"oidc-provider-{self.port}.log",
            # No proxy, no surprises: the environment of the tests has no business in there.
            {"OIDC_SETTINGS": json.dumps(settings), "NODE_OPTIONS": ""},
        )
        self._program.wait_listening(self.port)

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop()

    def restart(self) -> None:
        """All keys new, all tokens and sessions gone."""
        self.stop()
        self.start()

    @property
    def counts(self) -> dict[str, int]:
        """How often each path was asked for since the start."""
        return self.request("GET", "/counts").json

    def request(
        self,
        method: str,
        url: str,
        *,
        form: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        client: str = "",
        certificate: tuple[Path, Path] | None = None,
        jar: http.cookiejar.CookieJar | None = None,
    ) -> Answer:
        """One request, redirects not followed. `client` authenticates with its secret (HTTP Basic)."""
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({}), _NoRedirect()]
        if self.tls is not None:
            context = ssl.create_default_context(cadata=self.tls["ca"])
            if certificate is not None:
                context.load_cert_chain(*certificate)
            handlers.append(urllib.request.HTTPSHandler(context=context))
        if jar is not None:
            handlers.append(urllib.request.HTTPCookieProcessor(jar))
        sent = dict(headers or {})
        if client:
            pair = base64.b64encode(f"{client}:{self.secret(client)}".encode()).decode()
            sent["authorization"] = f"Basic {pair}"
        body = None if form is None else urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(urllib.parse.urljoin(self.issuer, url), body, sent, method=method)
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=20) as answer:
                return Answer(answer.status, dict(answer.headers.items()), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers.items()), error.read())

    def metadata(self) -> dict[str, Any]:
        return self.request("GET", "/.well-known/openid-configuration").json

    def token(self, *, client: str = "", headers: Mapping[str, str] | None = None, **form: Any) -> dict[str, Any]:
        """Ask the token endpoint; the answer, or `Refused`. `certificate=(cert, key)` for mTLS."""
        certificate = form.pop("certificate", None)
        fields = {name: value for name, value in form.items() if value is not None}
        answer = self.request("POST", "/token", form=fields, client=client, headers=headers, certificate=certificate)
        if answer.status != 200:
            raise Refused(answer.status, answer.json)
        return answer.json

    def client_credentials(
        self, resource: str | None, scope: str | None = "mcp:read", *, client: str = "machine", **more: Any
    ) -> str:
        """An access token of `client` itself. Without `resource` it is opaque, as for the userinfo endpoint."""
        form = {"grant_type": "client_credentials", "resource": resource, "scope": scope, **more}
        return self.token(client=client, **form)["access_token"]

    def exchange(
        self, token: str, resource: str, scope: str | None = None, *, client: str = "exchanger"
    ) -> dict[str, Any]:
        """RFC 8693: the subject's token for one with another audience."""
        kind = "urn:ietf:params:oauth:token-type:access_token"
        form = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": kind, "resource": resource}
        return self.token(client=client, **form, scope=scope)

    def authorize(
        self,
        user: str,
        resource: str | None,
        scope: str = "openid mcp:read",
        *,
        client: str = "browser",
        redirect: str = REDIRECT,
        jar: http.cookiejar.CookieJar | None = None,
        **more: str,
    ) -> dict[str, Any]:
        """Authorization code with PKCE as `user`'s browser walks it, and the tokens at its end."""
        verifier = base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": redirect,
            "scope": scope,
            "state": "s",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "login_hint": user,
            **more,
        }
        if resource is not None:
            asked["resource"] = resource
        answer = self.browse("/auth?" + urllib.parse.urlencode(asked), jar=jar)
        if "code" not in answer:
            raise Refused(400, answer)
        form = {"grant_type": "authorization_code", "code": answer["code"], "redirect_uri": redirect}
        return self.token(**form, code_verifier=verifier, client_id=client, resource=resource)

    def browse(self, url: str, *, jar: http.cookiejar.CookieJar | None = None) -> dict[str, str]:
        """Follow a browser's redirects inside the provider; gives the query of the first that leads outside.

        This is the user who logs in and consents: give it the authorization URL that your code made.
        """
        jar = http.cookiejar.CookieJar() if jar is None else jar
        for _ in range(10):
            answer = self.request("GET", url, jar=jar)
            where = answer.headers.get("Location", answer.headers.get("location", ""))
            if not where:
                raise Refused(answer.status, {"error": "page", "text": answer.body.decode(errors="replace")[-2000:]})
            url = urllib.parse.urljoin(urllib.parse.urljoin(self.issuer, url), where)
            if not url.startswith(self.issuer + "/"):
                return {"url": url, **dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))}
        raise Refused(508, {"error": "redirects"})

    def begin_device(self, resource: str | None = None, scope: str = "openid mcp:read") -> dict[str, Any]:
        """Begin a device flow; poll with `token(grant_type=DEVICE, device_code=..., client_id="device")`."""
        form = {"client_id": "device", "scope": scope, **({"resource": resource} if resource else {})}
        return self.request("POST", "/device/auth", form=form).json

    def approve_device(self, user_code: str, user: str = "alice") -> None:
        """The human of a device flow: types the code, logs in, says yes. `user` other than alice is not asked yet."""
        jar = http.cookiejar.CookieJar()
        page = self.request("GET", "/device", jar=jar)
        for name in ("user_code", "confirm"):
            fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.body.decode()))
            fields = {key: html.unescape(value) for key, value in fields.items()} | {"user_code": user_code}
            page = self.request("POST", "/device", form=fields, jar=jar)
            assert name != "user_code" or "confirm" in page.body.decode(), page
        for _ in range(10):
            where = page.headers.get("Location", page.headers.get("location", ""))
            if not where:
                break
            page = self.request("GET", where, jar=jar)
        assert page.status == 200, page

    def introspect(self, token: str, client: str = "resource-server") -> dict[str, Any]:
        return self.request("POST", "/token/introspection", form={"token": token}, client=client).json

    def revoke(self, token: str, client: str = "machine") -> int:
        return self.request("POST", "/token/revocation", form={"token": token}, client=client).status


@contextlib.contextmanager
def running_idp(folder: Path, *, tls: Mapping[str, str] | None = None, **settings: Any) -> Iterator[Idp]:
    """A provider until the block ends. `settings`: `resources`, `clients`, `accounts`, `discovery`, `applications` (for
    which servers it gives ID-JAGs, and to whom: `{issuer: {"client_id": ..., "users": [...]}}`) of the script.

    `resources={URL: {"format": "jwt" | "opaque", "alg": "ES256", "scope": "mcp:read", "ttl": 60}}`; a resource not
    named there gets RS256 JWTs for `mcp:read mcp:write` that live 300 s.
    """
    idp = Idp(folder, tls=tls, settings=settings)
    idp.start()
    try:
        yield idp
    finally:
        idp.stop()

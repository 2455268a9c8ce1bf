"""The authorization code with PKCE, answered to a port of this machine (RFC 8252, RFC 7636, RFC 9207)."""

import base64
import hashlib
import http.server
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from mantlet.ops.login.asking import LoginError, post
from mantlet.ops.login.issuer import Issuer

WAIT_S: Final = 300.0
PATH: Final = "/callback"
MAX_REQUESTS: Final = 50
"""Browsers ask for icons, and anybody on the machine can knock."""
_PAGE: Final = b"<!doctype html><title>Mantlet</title><p>You can close this page and go back to the command line.</p>"


def by_browser(
    issuer: Issuer, form: Mapping[str, str], *, show: Callable[[str], None], monotonic: Callable[[], float]
) -> Mapping[str, Any]:
    """The issuer's answer with tokens. `show` opens or prints the URL. Raises `LoginError`."""
    if not issuer.has_s256:
        raise LoginError("the issuer does not offer PKCE with S256")  # OAUTH-03: without it a stolen code is a token
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    with _Waiting() as waiting:
        redirect_uri = f"http://127.0.0.1:{waiting.server_port}{PATH}"
        asked = {
            **form,
            "response_type": "code",
            "redirect_uri": redirect_uri,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        joint = "&" if urlsplit(issuer.authorization_endpoint).query else "?"
        show(f"{issuer.authorization_endpoint}{joint}{urlencode(asked)}")
        answered = waiting.answer(state, monotonic)
    code = code_of(issuer, answered)
    return post(
        issuer.token_endpoint,
        {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
            "client_id": form["client_id"],
            **({"resource": form["resource"]} if "resource" in form else {}),
        },
    )


def code_of(issuer: Issuer, answered: Mapping[str, str]) -> str:
    """The code of an answer that is the issuer's own. Raises `LoginError`: also an error is believed only of it."""
    iss = answered.get("iss")
    if iss != issuer.name and (iss is not None or issuer.says_iss):
        raise LoginError("the answer came from another issuer")
    if "error" in answered:
        said = answered["error"] if re.fullmatch(r"[a-z_]{1,60}", answered["error"]) else "no reason given"
        raise LoginError(f"the issuer says {said}", said)
    if not answered.get("code"):
        raise LoginError("the answer has no code")
    return answered["code"]


class _Waiting(http.server.HTTPServer):
    """Hears one answer on loopback; what does not know `state` is not an answer."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.heard: dict[str, str] = {}
        self.state = ""

    def answer(self, state: str, monotonic: Callable[[], float]) -> Mapping[str, str]:
        self.state = state
        ends_s = monotonic() + WAIT_S
        for _ in range(MAX_REQUESTS):
            self.timeout = max(0.0, ends_s - monotonic())
            self.handle_request()
            if self.heard:
                return self.heard
            if monotonic() >= ends_s:
                break
        raise LoginError("nobody said yes in time")


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Waiting
    timeout = 10

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        found = parse_qs(url.query, keep_blank_values=True)
        is_whole = all(len(values) == 1 for values in found.values())
        is_ours = secrets.compare_digest(found.get("state", [""])[0].encode(), self.server.state.encode())
        if url.path != PATH or not is_whole or not is_ours:
            self.send_error(404)
            return
        self.server.heard = {name: values[0] for name, values in found.items()}
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("content-security-policy", "default-src 'none'")
        self.send_header("referrer-policy", "no-referrer")
        self.end_headers()
        self.wfile.write(_PAGE)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """The request line holds the code: nothing of it is written anywhere."""

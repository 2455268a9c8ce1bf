"""Requests to an issuer: by https, or to this machine; nothing is redirected, nothing believed that is not JSON."""

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from mantlet.ops.remote.http import Address, Answer, NodeError, send

TIMEOUT_S: Final = 20.0
MAX_BYTES: Final = 1_048_576


class LoginError(NodeError):
    """A login did not come about. The message is for a person; `error` is the issuer's word for it, if it gave one."""

    def __init__(self, said: str, error: str = "") -> None:
        super().__init__(said)
        self.error = error


def get(url: str) -> Mapping[str, Any] | None:
    """The document at `url`; None where there is none. Raises `LoginError`."""
    answer = _sent(url, "GET", None, {})
    if answer.status in (401, 403, 404, 405):
        return None
    if answer.status != 200:
        raise LoginError(f"{url} answered {answer.status}")
    return _object(answer, url)


def post(url: str, form: Mapping[str, str]) -> Mapping[str, Any]:
    """The members of the answer to a form. Raises `LoginError` with the issuer's word when it is a refusal."""
    fields = {"content-type": "application/x-www-form-urlencoded"}
    answer = _sent(url, "POST", urlencode(form).encode(), fields)
    if answer.status == 200 and not answer.body:
        return {}
    told = _object(answer, url)
    if answer.status != 200:
        error, described = told.get("error"), told.get("error_description")
        word = error if isinstance(error, str) and error.isascii() and error.isprintable() else "no reason given"
        more = f": {described[:300]!r}" if isinstance(described, str) else ""
        raise LoginError(f"the issuer says {word}{more}", word)
    return told


def why_not_safe(url: str) -> str:
    """Why no secret may be sent to `url`; empty when one may."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises when it is none
    except ValueError:
        return "is no URL"
    if not parts.hostname or parts.username is not None or "#" in url or not url.isprintable() or " " in url:
        return "is no plain URL"
    if parts.scheme == "https" or (parts.scheme == "http" and Address(url).is_local):
        return ""
    return "is not https"


def _sent(url: str, verb: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
    if why := why_not_safe(url):
        raise LoginError(f"{url[:200]!r} {why}")
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    answer = send(Address(f"{parts.scheme}://{parts.netloc}", None, TIMEOUT_S), verb, path, body=body, headers=headers)
    if len(answer.body) > MAX_BYTES:
        raise LoginError(f"{url} answered with more than {MAX_BYTES} bytes")
    return answer


def _object(answer: Answer, url: str) -> Mapping[str, Any]:
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise LoginError(f"{url} answered {answer.status} without a JSON object")
    return value

"""Logging in, being logged in, logging out."""

import base64
import binascii
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from mantlet.core.secret import Secret
from mantlet.ops.login.asking import LoginError, post
from mantlet.ops.login.browser import by_browser
from mantlet.ops.login.device import by_device
from mantlet.ops.login.issuer import Resource, discovered, resource_of
from mantlet.ops.login.kept import Kept, Logins

EARLY_S: Final = 60.0
"""A token is refreshed so long before it expires: no call begins with one that ends on its way."""
DEFAULT_CLIENT: Final = "mantlet"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for. Empty: as the node and its issuer say."""

    node: str
    issuer: str = ""
    client_id: str = DEFAULT_CLIENT
    scope: str = ""
    flow: str = "auto"


@dataclass(frozen=True, slots=True)
class Person:
    """How the person at the keyboard is told what to do."""

    show_code: Callable[[str, str, str], None]
    show_url: Callable[[str], None]
    sleep: Callable[[float], None] = field(default=time.sleep)


def log_in(wanted: Wanted, logins: Logins, person: Person) -> Kept:
    """Log in and keep it. Raises `LoginError`."""
    node = wanted.node.rstrip("/")
    resource = Resource("", [wanted.issuer], ()) if wanted.issuer else resource_of(node)
    url = resource.url or f"{node}/mcp"
    issuer = discovered(resource.issuers[0])
    scopes = wanted.scope.split() or [*resource.scopes]
    if not wanted.scope and "offline_access" in issuer.scopes and "offline_access" not in scopes:
        scopes.append("offline_access")  # without it many issuers give no refresh token
        scopes += ["openid"] if "openid" in issuer.scopes and "openid" not in scopes else []
    form = {"client_id": wanted.client_id, "resource": url, **({"scope": " ".join(scopes)} if scopes else {})}
    flow = wanted.flow
    if flow == "auto":
        flow = "device" if issuer.device_endpoint else "browser"
    if flow == "device":
        if not issuer.device_endpoint:
            raise LoginError(f"{issuer.name} has no device flow; try --flow browser")
        told = by_device(issuer, form, show=person.show_code, sleep=person.sleep, monotonic=time.monotonic)
    else:
        if not issuer.authorization_endpoint:
            raise LoginError(f"{issuer.name} has no authorization endpoint; try --flow device")
        if "offline_access" in scopes:
            form["prompt"] = "consent"  # OpenID Connect Core section 11: else no refresh token is given
        told = by_browser(issuer, form, show=person.show_url, monotonic=time.monotonic)
    kept = _kept(
        told,
        Kept(
            node=node,
            issuer=issuer.name,
            client_id=wanted.client_id,
            resource=url,
            token_endpoint=issuer.token_endpoint,
            revocation_endpoint=issuer.revocation_endpoint,
            access_token="",
            expires_at_s=0.0,
        ),
    )
    logins.put(kept)
    return kept


def access(node: str, logins: Logins, now_s: Callable[[], float] = time.time) -> Secret | None:
    """A token for `node` that holds for a minute at least, refreshed when it must be; None without a login there.

    Raises `LoginError` when the login is over.
    """
    node = node.rstrip("/")
    kept = logins.find(node)
    if kept is None:
        return None
    if now_s() < kept.expires_at_s - EARLY_S:
        return Secret(kept.access_token)
    with logins.alone(node):
        kept = logins.find(node)
        if kept is None:
            return None
        if now_s() < kept.expires_at_s - EARLY_S:  # another process has done it meanwhile
            return Secret(kept.access_token)
        if not kept.refresh_token:
            raise LoginError("the login is over; `mantlet login` begins a new one", "invalid_grant")
        form = {
            "grant_type": "refresh_token",
            "refresh_token": kept.refresh_token,
            "client_id": kept.client_id,
            "resource": kept.resource,
        }
        try:
            told = post(kept.token_endpoint, form)
        except LoginError as refusal:
            if refusal.error == "invalid_grant":
                logins.drop(node)
                raise LoginError("the login is over; `mantlet login` begins a new one", "invalid_grant") from refusal
            raise
        kept = _kept(told, kept, now_s)
        logins.put(kept)
    return Secret(kept.access_token)


def logged_in(node: str, logins: Logins) -> Secret:
    """As `access`, for who needs a token. Raises `LoginError` without a login."""
    token = access(node, logins)
    if token is None:
        raise LoginError(f"nobody is logged in at {node}; `mantlet login --url {node}`")
    return token


def log_out(node: str, logins: Logins) -> bool:
    """Give the login back to its issuer and forget it; False when there was none."""
    node = node.rstrip("/")
    kept = logins.find(node)
    if kept is None:
        return False
    logins.drop(node)  # first: whatever the issuer says, it is not used again
    if kept.revocation_endpoint:
        token = kept.refresh_token or kept.access_token
        post(kept.revocation_endpoint, {"token": token, "client_id": kept.client_id})
    return True


def _kept(told: Mapping[str, Any], before: Kept, now_s: Callable[[], float] = time.time) -> Kept:
    token, kind = told.get("access_token"), told.get("token_type")
    if not isinstance(token, str) or not token or not isinstance(kind, str) or kind.lower() != "bearer":
        raise LoginError("the issuer gave no Bearer token")
    lives_s, refresh, scope = told.get("expires_in"), told.get("refresh_token"), told.get("scope")
    return msgspec.structs.replace(
        before,
        access_token=token,
        expires_at_s=now_s() + (float(lives_s) if isinstance(lives_s, int | float) else 300.0),
        refresh_token=refresh if isinstance(refresh, str) and refresh else before.refresh_token,
        scope=scope if isinstance(scope, str) else before.scope,
        subject=_subject(token) or before.subject,
    )


def _subject(token: str) -> str:
    """Whom a token says it stands for: to be shown, and never to be believed."""
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        subject = claims.get("sub", "") if isinstance(claims, dict) else ""
    except (IndexError, ValueError, binascii.Error):
        return ""
    return subject if isinstance(subject, str) else ""

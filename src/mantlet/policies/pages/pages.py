"""The pages: HTML without scripts, pictures or anything from elsewhere, under a policy that would stop them (OAUTH-04).

Every text that somebody else chose is escaped; a client's own words are shown as its words.
"""

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from typing import Final

from mantlet.core.call import Reply

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:34em;margin:3em auto;padding:0 1em;"
    "color:#1a1a1a;background:#fff}"
    "h1{font-size:1.3em}input{font:inherit;width:100%;padding:.4em;box-sizing:border-box}"
    "button{font:inherit;padding:.5em 1.2em;margin:.8em .8em 0 0}dt{color:#555}"
    "dd{margin:0 0 .6em;overflow-wrap:anywhere}"
    ".warning{border-left:4px solid #b45309;padding:.2em 1em;background:#fef3c7}.error{color:#b91c1c}"
)
_KEY: Final = (
    '<p><label>Your API key<input type="password" name="api_key" autocomplete="off" maxlength="512"></label></p>'
    '<button name="decision" value="allow">Allow</button>'
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


def page(
    title: str, body: str, *, status: int = 200, form_to: Sequence[str] = (), cookie: str = "", refresh: str = ""
) -> Reply:
    """A whole page. `form_to` are origins besides our own that a form on it may end at (after its redirect); `refresh`
    is where the browser goes on by itself."""
    targets = " ".join(["'self'", *form_to])
    policy = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action {targets}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", policy.encode("ascii")),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-store"),
        (b"cross-origin-opener-policy", b"same-origin"),
    ]
    if cookie:
        headers.append((b"set-cookie", cookie.encode("ascii")))
    onward = f'<meta http-equiv="refresh" content="0;url={escape(refresh)}">' if refresh else ""
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{onward}<title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>{body}</body></html>"
    )
    return Reply(status, headers, text.encode(), origin="node")


def problem(text: str, status: int = 400) -> Reply:
    """A page that says what is wrong in our own words, never in a stranger's (OAUTH-03)."""
    return page("This does not work", f'<p class="error">{escape(text)}</p>', status=status)


def done(text: str) -> Reply:
    """The last page."""
    return page("Done", f"<p>{escape(text)}</p>")


def ask_code(action: str, code: str = "", error: str = "") -> Reply:
    """Where a user types the code that a device shows."""
    said = f'<p class="error">{escape(error)}</p>' if error else ""
    body = (
        f"{said}<p>Type the code that your device shows. Do this only for a device or program that you started "
        f'yourself just now.</p><form method="post" action="{escape(action)}">'
        f'<p><input name="user_code" value="{escape(code)}" autocomplete="off" autocapitalize="characters" '
        'spellcheck="false" maxlength="20" required></p><button>Continue</button></form>'
    )
    return page("Connect a device", body, status=400 if error else 200)


def consent(
    action: str,
    ticket: str,
    *,
    facts: Sequence[tuple[str, str]],
    warning: str,
    cookie: str,
    form_to: Sequence[str] = (),
    error: str = "",
    title: str = "Allow access?",
    has_key: bool = True,
    places: Sequence[str] = (),
) -> Reply:
    """Who asks for what, and the key that says yes, or a login at one of `places` that does. Nothing is remembered:
    each request is consented to anew."""
    logins = "".join(
        f'<button name="login" value="{escape(place)}">Allow, and log in with {escape(place)}</button>'
        for place in places
    )
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    said = f'<p class="error">{escape(error)}</p>' if error else ""
    body = (
        f'{said}<dl>{rows}</dl><p class="warning">{escape(warning)}</p>'
        f'<form method="post" action="{escape(action)}" autocomplete="off">'
        f'<input type="hidden" name="ticket" value="{escape(ticket)}">'
        f"{_KEY if has_key else ''}{logins}"
        '<button name="decision" value="deny">Deny</button></form>'
    )
    return page(title, body, status=403 if error else 200, form_to=form_to, cookie=cookie)

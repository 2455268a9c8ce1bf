"""What the pages say; in the manner of `authorization_server.pages`."""

from collections.abc import Sequence
from html import escape
from urllib.parse import urlsplit

from mantlet.core.call import Reply
from mantlet.policies.authorization_server import pages
from mantlet.policies.grants.port import Flow

TITLE = "Connect an account?"
_WARNING = (
    "Go on only if you asked for this yourself just now. You will be sent to the service to log in and say yes there; "
    "what comes of it is used for calls of yours alone, until you or the operator take it back."
)


def who(action: str, ticket: str, flow: Flow, *, cookie: str, error: str = "") -> Reply:
    """What is about to be connected, and the key that says who connects it."""
    return pages.consent(action, ticket, facts=_facts(flow), warning=_WARNING, cookie=cookie, error=error, title=TITLE)


def away(url: str, cookie: str) -> Reply:
    """Send the browser on. Not by a redirect: a page's own policy bounds where a form of it may end, and nobody knows
    through how many hosts a login leads."""
    host = urlsplit(url).netloc
    body = f'<p>You are being sent to {escape(host)}.</p><p><a rel="noreferrer" href="{escape(url)}">Go on</a></p>'
    return pages.page("One moment", body, cookie=cookie, refresh=url)


def _facts(flow: Flow) -> Sequence[tuple[str, str]]:
    return [
        ("Service", flow.upstream),
        ("Which is at", flow.host),
        ("You log in at", flow.issuer),
        ("With the rights", ", ".join(flow.scope) or "that the service gives by itself"),
    ]

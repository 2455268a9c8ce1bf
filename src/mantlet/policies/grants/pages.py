"""The page that says what a consent is for; in the manner of `policies.pages`."""

from collections.abc import Sequence

from mantlet.core.call import Reply
from mantlet.policies.away.logins import Place
from mantlet.policies.grants.port import GrantFlow
from mantlet.policies.pages import pages

TITLE = "Connect an account?"
_WARNING = (
    "Go on only if you asked for this yourself just now. You will be sent to the service to log in and say yes there; "
    "what comes of it is used for calls of yours alone, until you or the operator take it back."
)


def who(
    action: str,
    ticket: str,
    flow: GrantFlow,
    *,
    cookie: str,
    has_key: bool,
    places: Sequence[Place],
    error: str = "",
) -> Reply:
    """What is about to be connected, and how they prove who they are that connect it."""
    facts = [
        ("Service", flow.name),
        ("Which is at", flow.host),
        ("You log in at", flow.issuer),
        ("With the rights", ", ".join(flow.scope) or "that the service gives by itself"),
    ]
    return pages.consent(
        action,
        ticket,
        facts=facts,
        warning=_WARNING,
        cookie=cookie,
        error=error,
        title=TITLE,
        has_key=has_key,
        places=[place.name for place in places],
    )

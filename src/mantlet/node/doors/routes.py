"""Every route of a node, and the few that a stranger may use: the one list of exceptions (AUTHN-01).

Everything that is not in `EXCEPTIONS` stands behind `authenticate`; what is under the admin API needs the role besides
(AUTHZ-05). `tests/node/doors/test_routes.py` walks what is listed here, and looks for paths that are not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from mantlet.admin.app import PUBLIC, App, table
from mantlet.listeners.sse.policy import PATH as SSE
from mantlet.node.build.built import Node
from mantlet.node.resources import resources
from mantlet.policies.parse.policy import ENDPOINT

Door = Literal["calls", "admin"]

EXCEPTIONS: Final[dict[str, str]] = {
    "published": "where to get a token (RFC 9728), and the keys that the node signs with",
    "authorization_server": "whose clients prove themselves in their own way (RFC 6749); only with auth.server",
    "connect": "where browsers bring their user's consent at an upstream, proven on the page; only with such upstreams",
    "probes": "up or down, and figures for whoever reaches the admin listener (AUTHN-08)",
}
"""Why a stranger may."""


@dataclass(frozen=True, slots=True)
class Route:
    """One path of a door. `verbs` are those that mean something there."""

    door: Door
    path: str
    verbs: tuple[str, ...]
    exception: str = ""
    """A key of `EXCEPTIONS`, or nothing: then it needs a credential."""


def routes_of(node: Node, app: App) -> Iterator[Route]:
    """All of them; `app` is what answers at the admin door."""
    steps = node.current.generation.steps
    for path in sorted(steps.published.paths):
        yield Route("calls", path, ("GET",), "published")
    server = steps.authorization_server
    for path in sorted(() if server is None else server.paths):
        yield Route("calls", path, ("GET", "POST"), "authorization_server")
    for path in sorted(() if steps.connect is None else steps.connect.paths):
        yield Route("calls", path, ("GET", "POST"), "connect")
    for path in steps.parse.paths:
        yield Route("calls", path, ("POST", "GET", "DELETE"))
    for path in () if node.sse is None else resources(node.config):
        yield Route("calls", SSE + path.removeprefix(ENDPOINT), ("GET", "POST"))
    for service in () if steps.services is None else steps.services.routes:
        yield Route("calls", service.prefix, service.verbs)
    for path, verbs in table(app):
        yield Route("admin", path, verbs, "probes" if path in PUBLIC else "")

"""The node as a client of other authorization servers (RFC 6749, RFC 7636, RFC 9207; OAUTH-02, OAUTH-03, OAUTH-08)."""

from mantlet.upstreams.oauth.answer import Refused, Tokens
from mantlet.upstreams.oauth.metadata import Endpoints
from mantlet.upstreams.oauth.server import AuthorizationServer, Registration

__all__ = ["AuthorizationServer", "Endpoints", "Refused", "Registration", "Tokens"]

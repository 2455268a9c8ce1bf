"""`WWW-Authenticate`, as far as it is known before a refusal (AUTHN-04; RFC 6750 section 3, RFC 9728 section 5.1)."""

from collections.abc import Collection, Sequence
from typing import Final
from urllib.parse import quote, urlsplit

from mantlet.core.call import Arrival
from mantlet.policies.authenticate.credential import is_dpop

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
REALM: Final = "mantlet"
_PLAIN: Final = f'Bearer realm="{REALM}"'


class Challenges:
    """The challenges of a node, a line a published path. The answer appends the error, and where it names scopes of its
    own they take the place of these."""

    def __init__(
        self, public_url: str, published: Sequence[str], scopes: Collection[str], algorithms: Sequence[str]
    ) -> None:
        """`scopes` are what a first token should have, `algorithms` those of DPoP proofs, if any are accepted."""
        named = f', scope="{" ".join(sorted(scopes))}"' if scopes else ""
        proof = f'DPoP realm="{REALM}", algs="{" ".join(algorithms)}"' if algorithms else ""
        self._bearer = _lines(_PLAIN, named, public_url, published)
        self._dpop = _lines(proof, named, public_url, published) if proof else None

    def of(self, arrival: Arrival) -> str:
        """The text without an error code."""
        # The documents describe what is called, at the door for calls; the admin door has none.
        if arrival.trail.door == "admin":
            return _PLAIN
        lines = self._dpop if self._dpop is not None and is_dpop(arrival.headers) else self._bearer
        # A path without a document of its own gets the first, that of the whole resource.
        return lines.get(arrival.path) or lines[""]


def _lines(scheme: str, scopes: str, public_url: str, published: Sequence[str]) -> dict[str, str]:
    if not public_url:
        return {"": scheme + scopes}
    parts = urlsplit(public_url)
    # RFC 9728 section 3.1: the well-known part stands between host and path.
    root = f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{parts.path.rstrip('/')}"
    lines = {path: f'{scheme}, resource_metadata="{root}{quote(path, safe="/-._~")}"{scopes}' for path in published}
    return {"": next(iter(lines.values()), scheme + scopes), **lines}

"""An issuer that is down is not the upstream that is down."""

from typing import Any

import pytest
from tests.upstreams.before_server import a_call

from mantlet.core.caller import Caller
from mantlet.core.clock import SYSTEM
from mantlet.core.headers import Headers
from mantlet.core.ports import Fetched
from mantlet.core.refusal import BadUpstream, DeadlineExceeded, IssuerUnavailable, Refusal, UpstreamUnavailable
from mantlet.core.secret import Secret
from mantlet.upstreams.guarded import is_failure
from mantlet.upstreams.identity import Outgoing
from mantlet.upstreams.identity.at_issuer import AtIssuer, Client
from mantlet.upstreams.identity.fields import About

ALICE = Caller("alice", "https://idp.example", "jwt")
SHOWN = Headers([(b"authorization", b"Bearer mine")])


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (UpstreamUnavailable(why="no connection"), IssuerUnavailable),
        (DeadlineExceeded(), IssuerUnavailable),
        (BadUpstream(why="too large"), BadUpstream),
    ],
)
async def test_an_issuer_that_fails_counts_against_no_upstream(failure: Refusal, kind: type[Refusal]) -> None:
    """RES-01, RES-06"""

    async def fetch(method: str, url: str, /, **request: Any) -> Fetched:
        raise failure

    client = Client("https://idp.example", "edge", Secret("s"), "https://idp.example/token")
    maker = AtIssuer(client, "https://t.example", frozenset(), About("1", is_development=False), fetch, SYSTEM)
    with pytest.raises(kind) as refused:
        await maker(ALICE, SHOWN, Outgoing(b"POST", b"/", b""))
    assert refused.value.why.startswith("identity: ")
    assert not is_failure(a_call(), refused.value, 60.0, 1.0)
    await maker.close()

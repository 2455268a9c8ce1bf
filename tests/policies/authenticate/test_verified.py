"""What is remembered of credentials, and what takes no place."""

from mantlet.core.caller import Caller
from mantlet.core.clock import SYSTEM
from mantlet.policies.authenticate.verified import Verified


def test_what_is_good_for_one_request_takes_no_place_of_others() -> None:
    """FWD-02, TOK-09: sealed tokens come by the thousand, each once."""
    verified = Verified(SYSTEM, max_verified=2)
    alice = Caller("alice", "i", "jwt")
    verified.keep(b"a", alice, fresh_s=60, leeway_s=0)
    for n in range(10):
        verified.keep(b"%d" % n, Caller("x", "i", "forwarded"), fresh_s=0.0, leeway_s=0)
    assert verified.caller(b"a") is alice
    assert len(verified) == 1

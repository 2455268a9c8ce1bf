"""How busy this process is, told in its answers, for nodes and balancers before it (see `upstreams.endpoints.load`)."""

from typing import Final

from mantlet.core.call import Call, Reply
from mantlet.core.policy import CallHandler
from mantlet.node.steps.forward import Forward
from mantlet.upstreams.endpoints.load import HEADER

FORM: Final = b"TEXT application_utilization=%.2f"


def telling(forward: Forward) -> CallHandler:
    """`forward`, whose replies tell how many of its places are taken or waited for. What servers behind said of
    themselves does not reach this far. 1 us."""

    async def told(call: Call) -> Reply:
        reply = await forward(call)
        # Not 0, which would say that nothing is known.
        share = max(0.01, min(1.0, (forward.under_way + forward.waiting) / forward.limit))
        reply.headers.append((HEADER, FORM % share))
        return reply

    return told

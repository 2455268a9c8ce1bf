"""What happens to a call, on one screen: the list of steps and why each stands where it stands.

Users switch and tune steps; they do not reorder the ones that guard.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from mantlet.core.call import Arrival, Call, Reply
from mantlet.core.policy import ArrivalHandler, CallHandler, Policy, chain
from mantlet.core.refusal import Refusal
from mantlet.policies.aggregate.policy import Aggregate
from mantlet.policies.authorize.policy import Authorize
from mantlet.policies.parse.policy import Parse
from mantlet.policies.published.policy import Published
from mantlet.policies.record.tally import Tally
from mantlet.policies.services.policy import Services
from mantlet.wire import answer

if TYPE_CHECKING:
    from mantlet.policies.authorization_server.policy import AuthorizationServer
    from mantlet.policies.delegation.policy import Delegation
    from mantlet.policies.grants.policy import Grants
    from mantlet.upstreams.fallback.step import Fallback

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of one node, made by `build`. `None` is switched off in config."""

    record: Policy[Arrival]
    addresses: Policy[Arrival] | None
    published: Published
    authenticate: Policy[Arrival]
    current_streams: Policy[Arrival]
    current_caller: Policy[Arrival]
    caller_limits: Policy[Arrival] | None
    parse: Parse
    aggregate: Aggregate
    tasks: Policy[Call]
    mirrored: Policy[Call]
    call_limits: Policy[Call] | None
    authorize: Authorize
    forward: CallHandler
    challenge: Callable[[Arrival], str]
    killed_callers: Policy[Arrival] | None = None
    killed_targets: Policy[Call] | None = None
    authorization_server: "AuthorizationServer | None" = None
    services: Services | None = None
    to_service: CallHandler | None = None
    pins: Policy[Call] | None = None
    schemas: Policy[Call] | None = None
    approvals: Policy[Call] | None = None
    cache: Policy[Call] | None = None
    delegation: "Delegation | None" = None
    filters: Policy[Call] | None = None
    concurrent: Policy[Arrival] | None = None
    tally: Tally | None = None
    fallback: "Fallback | None" = None
    connect: "AuthorizationServer | None" = None
    grants: "Grants | None" = None


def path(steps: Steps, sse: Policy[Arrival] | None = None) -> ArrivalHandler:
    """The whole way of a call, from a known head to a reply that can be sent."""
    arrivals = chain(
        _on(
            steps.record,  # outermost: it must also see what the others refuse
            steps.addresses,  # costs nothing, and turns a flood away before any cryptography
            steps.published,  # the few documents for strangers; everything below needs a caller
            steps.authorization_server,  # its clients prove themselves in their own way
            steps.connect,  # and so do browsers that bring a consent
            steps.authenticate,
            steps.killed_callers,  # as soon as it is known who calls
            steps.delegation,  # and for whom: what follows sees the rights that all of the chain have
            steps.current_streams,  # a stream ends with the credential that opened it
            sse,  # what comes by HTTP+SSE is messages, and takes their way from here
            steps.concurrent,  # before the windows: what is refused here has spent nothing there
            steps.caller_limits,  # before the body is read: a refused caller must not make us parse
            _services(steps),  # what is for a plain HTTP service is a call of another kind, and goes its own way here
        ),
        steps.parse.then(_calls(steps)),
    )
    whole = answering(arrivals, steps.challenge)
    # What is decided already for a whole address is neither asked nor written down again for each of its requests.
    return whole if steps.tally is None else steps.tally.before(whole)


def messages(steps: Steps) -> ArrivalHandler:
    """The way of a message on a connection whose caller was authenticated when it opened; it raises what it refuses."""
    return chain(
        _on(
            steps.record,
            steps.addresses,  # with every message: its address may have been blocked since
            steps.current_caller,  # with every message: what opened the connection may have been revoked since
            steps.killed_callers,
            steps.delegation,
            steps.concurrent,
            steps.caller_limits,
        ),
        steps.parse.then(_calls(steps)),
    )


def _calls(steps: Steps) -> CallHandler:
    return chain(
        _on(
            steps.aggregate,  # at /mcp it finds the server a name leads to: all others decide by server
            steps.tasks,  # whose task an id is; rules then decide on the tool that it came from
            steps.mirrored,  # the last thing that only a malformed call fails; nothing after it reads those headers
            steps.killed_targets,  # whatever the rules say, and before anything is spent on it
            steps.call_limits,  # by tool and method, known only now
            steps.grants,  # does nothing before anything further in, whoever asks there, misses the caller's consent
            steps.pins,  # what was not approved is not there; what comes after knows the definition that was
            steps.schemas,  # arguments as that definition has them, and results on their way back
            steps.filters,  # what they change is held to the schema again, so it must be known; results pass them first
            steps.authorize,  # on what was parsed, never on headers; lists are filtered on their way back
            None if steps.approvals is None or steps.grants is None else steps.grants.check,  # before a yes is spent
            steps.approvals,  # only for what may be called at all is a human asked
            _fallback(steps),  # outside the cache, which must not keep it; another server is asked by all of this way
            steps.cache,  # a hit too was let pass by all above, and goes back through them: it holds what servers say
        ),
        steps.forward,
    )


def _fallback(steps: Steps) -> Policy[Call] | None:
    return None if steps.fallback is None else steps.fallback.over(_calls(replace(steps, fallback=None)))


def _services(steps: Steps) -> Policy[Arrival] | None:
    """The way of calls to plain HTTP services: the same decisions, on verb and path instead of method and tool."""
    if steps.services is None or steps.to_service is None:
        return None
    return steps.services.before(
        chain(
            _on(
                steps.killed_targets,
                steps.call_limits,  # by server
                steps.grants,
                steps.filters,  # in bodies that are JSON
                steps.authorize,  # before a body that streams is touched
            ),
            steps.to_service,
        )
    )


def answering(onward: ArrivalHandler, challenge: Callable[[Arrival], str]) -> ArrivalHandler:
    """Refusals become replies here and nowhere else: whatever is raised further in has been recorded by then."""

    async def answered(arrival: Arrival) -> Reply:
        try:
            return await onward(arrival)
        except Refusal as refusal:
            return answer.refused(refusal, arrival.trail, challenge=challenge(arrival))

    return answered


def _on(*steps: Policy[T] | None) -> list[Policy[T]]:
    return [step for step in steps if step is not None]

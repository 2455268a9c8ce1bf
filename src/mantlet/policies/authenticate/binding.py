"""What a request shows beside a token that is bound to something (TOK-11)."""

from typing import Protocol

from mantlet.core.call import Arrival
from mantlet.core.caller import Binding, Caller
from mantlet.core.refusal import InvalidCredential


class Proofs(Protocol):
    """The proofs of possession that are accepted (`dpop.proofs.DpopProofs`)."""

    @property
    def algorithms(self) -> tuple[str, ...]:
        """What they may be signed with, for challenges."""
        ...

    async def check(self, arrival: Arrival, jkt: str, /) -> str:
        """Return for a request with one fresh proof by the key with the thumbprint `jkt`: the nonce that the next proof
        shall have, where that changes, else an empty text.

        Raises `InvalidProof`, `NonceRequired`, and `StoreUnavailable` where nobody can tell whether it was seen before.
        """
        ...


def check_scheme(caller: Caller, *, has_proof: bool) -> None:
    """Return when the scheme fits the token: a token bound to a key is no bearer token, and proves nothing as one;
    one that is not bound is not made better by a proof (RFC 9449 sections 7.1 and 7.2)."""
    is_bound = caller.binding is not None and bool(caller.binding.jkt)
    if is_bound and not has_proof:
        raise InvalidCredential("token: is bound to a key, and came as a bearer token")
    if has_proof and not is_bound:
        raise InvalidCredential("token: is not bound to a key, and came under the scheme DPoP")


def check_door(arrival: Arrival, binding: Binding) -> None:
    """Return when the request came by a door where the credential is taken."""
    if binding.doors and arrival.trail.door not in binding.doors:
        raise InvalidCredential("key: is for another door of this node")


def check_place(arrival: Arrival, binding: Binding) -> None:
    """Return when the request came to where the token is for, over the connection of whom it is bound to."""
    check_door(arrival, binding)
    if binding.paths and not any(_is_below(arrival.path, path) for path in binding.paths):
        raise InvalidCredential("token: is for another resource of this node")
    if binding.certificate_sha256:
        certificate = arrival.peer_certificate
        if certificate is None or certificate.sha256 != binding.certificate_sha256:
            raise InvalidCredential("token: is bound to a certificate that this connection did not show")


def _is_below(path: str, whole: str) -> bool:
    return path == whole or path.startswith(f"{whole}/")

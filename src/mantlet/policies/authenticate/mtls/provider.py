"""From a verified certificate to a caller."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mantlet.core.caller import Caller, CallerKind
from mantlet.core.certificate import PeerCertificate
from mantlet.core.clock import Clock
from mantlet.core.refusal import InvalidCredential
from mantlet.policies.authenticate.mtls.lists import Lists
from mantlet.policies.authenticate.mtls.names import match
from mantlet.policies.authenticate.mtls.revocations import Revocations

ISSUER: Final = "mantlet:mtls"
METHOD: Final = "mtls"
MAX_CALLERS: Final = 4096
"""Certificates whose caller is remembered; about 1 KB each."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the configuration says of a name."""

    subject: str
    tenant: str
    kind: CallerKind
    roles: frozenset[str]
    scopes: frozenset[str]


class Mtls:
    """TLS has verified chain, validity and possession; this says whose certificate it is, and whether it still counts.

    Everything is asked on every request, since a connection outlives both a certificate and a revocation list.
    """

    def __init__(
        self, known: Mapping[str, Known], revocations: Revocations, clock: Clock, lists: Lists | None = None
    ) -> None:
        self._known, self._revocations, self._clock, self._lists = known, revocations, clock, lists
        self._callers: dict[str, Caller | None] = {}
        self._issuers: dict[str, str] = {}
        """Of the callers there, by credential id."""

    def check(self, certificate: PeerCertificate) -> None:
        """Return for a certificate that still counts; raises `InvalidCredential`.

        Also for a request that brings a token: nothing comes in over a connection opened with a revoked certificate.
        """
        if certificate.expires_at_s <= self._clock.wall():
            raise InvalidCredential("client certificate: expired")
        if self._revocations.has(certificate):
            raise InvalidCredential("client certificate: revoked")
        if self._lists is not None and (why := self._lists.why_not(certificate.issuer_sha256, certificate.serial)):
            raise InvalidCredential(f"client certificate: {why}")

    def caller(self, certificate: PeerCertificate) -> Caller | None:
        """Whom a checked certificate stands for; None for one that names nobody known.

        Raises `InvalidCredential` for one that names two, or is not for clients.
        """
        if certificate.sha256 in self._callers:
            return self._callers[certificate.sha256]
        if not certificate.is_for_clients:
            raise InvalidCredential("client certificate: not for clients (extendedKeyUsage clientAuth)")
        name = match(certificate, self._known)
        caller = None if name is None else _caller_of(self._known[name], certificate)
        if len(self._callers) >= MAX_CALLERS:
            self._callers.clear()  # an authority that renews by the minute: starting over costs microseconds
            self._issuers.clear()
        self._callers[certificate.sha256] = caller
        if caller is not None:
            self._issuers[caller.credential_id] = certificate.issuer_sha256
        return caller

    def is_current(self, caller: Caller) -> bool | None:
        """Whether a caller of ours would be one now; None for another's."""
        if caller.method != METHOD or caller.issuer != ISSUER:
            return None
        _, serial, spki_sha256 = caller.credential_id.split(":")
        is_live = caller.expires_at_s is not None and self._clock.wall() < caller.expires_at_s
        is_known = _known_of(caller) in self._known.values()  # a reload may have given it less
        if not is_live or not is_known or self._revocations.has_any(serial, spki_sha256):
            return False
        return self._lists is None or not self._lists.why_not(self._issuers.get(caller.credential_id), serial)

    def look(self) -> None:
        """Take up what is newly revoked; call it every few seconds."""
        self._revocations.look()
        if self._lists is not None:
            self._lists.look()


def _caller_of(known: Known, certificate: PeerCertificate) -> Caller:
    return Caller(
        known.subject,
        ISSUER,
        METHOD,
        tenant=known.tenant,
        kind=known.kind,
        roles=known.roles,
        scopes=known.scopes,
        expires_at_s=certificate.expires_at_s,
        # What one needs to revoke it, as it stands in every record.
        credential_id=f"x509:{certificate.serial}:{certificate.spki_sha256}",
    )


def _known_of(caller: Caller) -> Known:
    return Known(caller.subject, caller.tenant, caller.kind, caller.roles, caller.scopes)

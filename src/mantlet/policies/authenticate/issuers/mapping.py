"""From a foreign issuer's claims to a caller: only what the configuration says its words mean here (AUTHN-09)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mantlet.core.caller import Caller, CallerKind
from mantlet.core.refusal import InvalidCredential
from mantlet.policies.authenticate.claims import Expectation, actors, binding_of, end_of, paths_of, text

Path = tuple[str, ...]
MAX_WORDS: Final = 1000
"""Roles or scopes in one token; a token of 16 KiB has no more."""
_CLIENTS: Final = ("client_id", "azp", "appid", "cid")
"""Where issuers name the client: RFC 9068, OpenID Connect and Entra ID v2, Entra ID v1, Okta."""
_SCOPES: Final = ("scope", "scp")
PERSONAL: Final = frozenset(
    {"email", "mail", "upn", "unique_name", "preferred_username", "name", "nickname", "given_name", "family_name"}
)
"""Claims that users can change, or that pass from one to another: they never decide who somebody is."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the claims of one issuer say here. An empty path: nowhere."""

    subject: Path = ("sub",)
    roles: Path = ()
    tenant: Path = ()
    scopes: Path = ()
    scope_prefix: str = ""
    fixed_tenant: str = "default"
    fixed_roles: frozenset[str] = frozenset()
    role_map: Mapping[str, str] = field(default_factory=dict)
    kind: CallerKind | None = None


def path_of(name: str) -> Path:
    """The members that a configured claim name leads through: `realm_access.roles` is two, a URL one."""
    return (name,) if "://" in name else tuple(name.split("."))


def read(claims: Mapping[str, Any], expected: Expectation, meaning: Meaning, now_s: float, method: str) -> Caller:
    """The caller that `claims` speak for at `now_s`; raises `InvalidCredential`."""
    if claims.get("iss") != expected.issuer:
        raise InvalidCredential("token: issuer")
    paths = paths_of(claims.get("aud"), expected)
    expires_at_s = end_of(claims, expected, now_s)
    subject = _subject(claims, meaning)
    return Caller(
        subject,
        expected.issuer,
        method,
        tenant=_text_at(claims, meaning.tenant) if meaning.tenant else meaning.fixed_tenant,
        kind=meaning.kind or _kind(claims, subject),
        roles=_roles(claims, meaning),
        scopes=_scopes(claims, meaning),
        expires_at_s=expires_at_s,
        credential_id=text(claims, "jti") or text(claims, "uti"),  # Entra ID's word for it
        act=actors(claims),
        binding=binding_of(claims, paths),
        issued_at_s=float(claims["iat"]),  # an instant, by the line that found the end
    )


def _at(claims: Mapping[str, Any], path: Path) -> Any:
    value: Any = claims
    for name in path:
        if type(value) is not dict:
            return None
        value = value.get(name)
    return value


def _text_at(claims: Mapping[str, Any], path: Path) -> str:
    name = path[-1]
    value = text({name: _at(claims, path)}, name)
    if not value:
        raise InvalidCredential(f"token: {name} is empty")
    return value


def _words(value: Any, name: str) -> frozenset[str]:
    found = value if type(value) is list else [value]
    if len(found) > MAX_WORDS or not all(type(one) is str for one in found):
        raise InvalidCredential(f"token: {name} is neither a text nor a list of texts")
    return frozenset(one for one in found if one)


def _roles(claims: Mapping[str, Any], meaning: Meaning) -> frozenset[str]:
    value = _at(claims, meaning.roles) if meaning.roles else None
    if value is None:
        return meaning.fixed_roles  # Entra ID leaves the claim out where there are none, or too many to name
    words = _words(value, meaning.roles[-1])
    if meaning.role_map:
        words = frozenset(meaning.role_map[word] for word in words if word in meaning.role_map)
    return meaning.fixed_roles | words


def _scopes(claims: Mapping[str, Any], meaning: Meaning) -> frozenset[str]:
    if meaning.scopes:
        value = _at(claims, meaning.scopes)
    else:
        value = next((claims[name] for name in _SCOPES if name in claims), None)
    if value is None:
        return frozenset()
    # One text with spaces (RFC 9068, Entra ID) or a list (Okta).
    return frozenset(meaning.scope_prefix + scope for word in _words(value, "scope") for scope in word.split())


def _subject(claims: Mapping[str, Any], meaning: Meaning) -> str:
    if _at(claims, meaning.subject) is None and _names_client(claims, claims.get("sub")):
        return text(claims, "sub")  # Okta gives people a `uid`, and clients none
    return _text_at(claims, meaning.subject)


def _kind(claims: Mapping[str, Any], subject: str) -> CallerKind:
    # RFC 9068 section 2.2: the subject of a token without a resource owner is the client. Entra ID says `idtyp: app`.
    return "service" if claims.get("idtyp") == "app" or _names_client(claims, subject) else "user"


def _names_client(claims: Mapping[str, Any], subject: object) -> bool:
    return type(subject) is str and subject != "" and any(claims.get(name) == subject for name in _CLIENTS)

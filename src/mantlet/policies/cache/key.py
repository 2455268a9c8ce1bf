"""What an answer depends on, as 32 bytes (CACHE-01). Pure.

Parts are written as one JSON array with sorted members, so that no two lists of parts have one text, and hashed. Equal
values have equal keys, whatever their order or spacing; 1 and 1.0 do not, which costs a miss and can be no wrong hit.
"""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

import msgspec

from mantlet.core.caller import Caller, Rights
from mantlet.wire.canonical import canonical

FINGERPRINTS_KEPT: Final = 8_192
NOT_ASKED: Final = frozenset({"progressToken", "traceparent", "tracestate"})
"""Of `_meta`: what says how a call is followed, not what is asked."""

_sorted: Final = msgspec.json.Encoder(order="sorted").encode


def key_of(*parts: Any) -> bytes:
    """The key of JSON values. Raises `TypeError` or `ValueError` for what is none."""
    try:
        text = _sorted(parts)
    except UnicodeEncodeError:  # a lone surrogate
        text = canonical(parts).encode("utf-8", "surrogatepass")
    return sha256(text).digest()


def asked(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """`params` without what does not change the answer."""
    meta = params.get("_meta")
    if type(meta) is not dict or NOT_ASKED.isdisjoint(meta):
        return params
    return {**params, "_meta": {name: value for name, value in meta.items() if name not in NOT_ASKED}}


def fingerprint(caller: Caller) -> str:
    """The authorization context: who, with which rights, by which credential.

    Another credential is another context (MCP 2026-07-28, Caching, "Cache Scope Field"), so what changes with a
    credential needs no invalidation. One without a name of its own is told by the times it is good for.
    """
    return _fingerprint(
        caller.key, caller.rights, caller.method, caller.credential_id, caller.issued_at_s, caller.expires_at_s or 0.0
    )


@lru_cache(FINGERPRINTS_KEPT)
def _fingerprint(
    key: tuple[str, str, str], rights: Rights, method: str, credential: str, issued_at_s: float, expires_at_s: float
) -> str:
    named = (sorted(rights.roles), sorted(rights.scopes), rights.tenant, rights.subject, rights.kind, rights.act)
    return key_of(key, named, method, credential, issued_at_s, expires_at_s).hex()

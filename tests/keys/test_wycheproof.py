"""Project Wycheproof's JSON Web Signature vectors, through our parser and our keys."""

import base64
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import InvalidCredential
from mantlet.keys.algorithms import KNOWN
from mantlet.keys.jwk import read_set
from mantlet.keys.ring import KeyRing, published_ring
from mantlet.wire import jws

VECTORS = Path(__file__).parents[3] / "shared" / "data" / "jose" / "json_web_signature_test.json"
GROUPS = json.loads(VECTORS.read_text())["testGroups"] if VECTORS.exists() else []

ERRATA = {
    367: "lost its padding in the file and equals the valid vector",
    370: "lost its padding in the file and equals the valid vector",
    372: "called valid for decoders that drop foreign characters; we refuse them (TOK-08)",
    373: "called valid for decoders that drop foreign characters; we refuse them (TOK-08)",
}
NO_CLAIMS = "emptyPayload"  # no token: claims are an object
NOT_OURS = {
    "Figure27": "its key names ES521, which is not an algorithm",
    "Figure20": "its key names PS256 for a token of PS384",
}


def cases() -> list[Any]:
    return [
        pytest.param(group.get("public") or group["private"], test, id=f"{group['comment']}-{test['tcId']}")
        for group in GROUPS
        for test in group["tests"]
    ]


def verifies(jwk: dict[str, Any], token: str) -> bool:
    """Whether the signature is accepted. The payloads are no claims: an empty object stands in for them."""
    if jws._COMPACT.fullmatch(token.encode()) is None:
        return False
    header, payload, _ = token.split(".")
    claims = base64.urlsafe_b64encode(b"{}").rstrip(b"=").decode()
    try:
        parsed = jws.parse(token.replace(f"{header}.{payload}.", f"{header}.{claims}.", 1).encode())
        jws._bytes_of(payload.encode())
        whole = jws.Jws(parsed.algorithm, parsed.kid, None, {}, f"{header}.{payload}".encode(), parsed.signature)
        KeyRing(read_set(json.dumps(jwk), "vector")).check(whole)
        if "k" not in jwk:  # as an issuer's published set says the same, for its own algorithm alone
            body = json.dumps({"keys": [jwk]}).encode()
            published_ring(body, [parsed.algorithm], "vector").check(whole)
            others = [name for name in KNOWN if name != parsed.algorithm]
            with suppress(ValueError), pytest.raises(InvalidCredential):
                published_ring(body, others, "vector").check(whole)
    except (InvalidCredential, ConfigError):
        return False
    return True


@pytest.mark.skipif(not GROUPS, reason="the Wycheproof vectors are not beside the repository")
@pytest.mark.parametrize(("jwk", "test"), cases())
def test_wycheproof(jwk: dict[str, Any], test: dict[str, Any]) -> None:
    """TOK-01, TOK-02, TOK-08"""
    if test["tcId"] in ERRATA:
        pytest.skip(ERRATA[test["tcId"]])
    is_accepted = verifies(jwk, test["jws"])
    if test["result"] == "invalid":
        assert not is_accepted
    elif jwk.get("alg") in KNOWN and test["comment"] not in {*NOT_OURS, NO_CLAIMS}:
        assert is_accepted

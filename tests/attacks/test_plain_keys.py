"""A key of the configuration that does not look like the node's own is one like any other."""

from pathlib import Path

from tests.attacks.house import open_house
from tests.attacks.issuing import AUDIENCE, CLI, ISSUER, basic, claims_of, post

from mantlet.keys.signing import make_signing_key

PLAIN = "q8Zr2mXw0Lk7Vt4Nc9Yb1Hd6Jf3Gs5Pa8Ue2Io7Wx0Q"


async def test_it_is_a_client_by_its_name(tmp_path: Path) -> None:
    """TOK-13: as docs/tokens.md says; with another's name it is nobody's."""
    make_signing_key(tmp_path / "jwt.pem")
    auth = {
        "jwt": {"key_file": str(tmp_path / "jwt.pem"), "issuer": ISSUER, "audience": AUDIENCE},
        "server": {"clients": [CLI]},
        "api_keys": [{"name": "ci", "key": PLAIN, "roles": ["user"]}],
    }
    async with open_house(tmp_path, auth=auth, agent={"url": ISSUER}) as house:
        answer = await post(house, "/oauth/token", basic("config:ci", PLAIN), grant_type="client_credentials")
        assert (answer.status, claims_of(answer.json["access_token"])["sub"]) == (200, "ci")
        assert (await house.call(credential=answer.json["access_token"])).status == 200
        for name in ("ci", "config:alice", "cli", ""):
            refused = await post(house, "/oauth/token", basic(name, PLAIN), grant_type="client_credentials")
            assert (refused.status, refused.json["error"]) == (401, "invalid_client")

"""`mantlet login` at npm oidc-provider: a real identity provider, and a person who does what it asks."""

import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from tests.attacks.issuing import claims_of
from tests.servers.oidc_provider import Idp, needs_node, running_idp

from mantlet.ops.login.asking import LoginError
from mantlet.ops.login.kept import Logins
from mantlet.ops.login.session import Person, Wanted, access, log_in, log_out

pytestmark = [pytest.mark.node, needs_node]
NODE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def idp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Idp]:
    with running_idp(tmp_path_factory.mktemp("idp")) as idp:
        yield idp


def nobody(*_: str) -> None:
    raise AssertionError("was not to be asked")


def test_the_device_flow_and_a_refresh(idp: Idp, tmp_path: Path) -> None:
    """OAUTH-06 from the other side, TOK-13"""
    logins = Logins(tmp_path)
    person = Person(lambda url, code, complete: idp.approve_device(code), nobody, sleep=lambda _: None)
    kept = log_in(Wanted(NODE, idp.issuer, "device", "openid mcp:read offline_access", "device"), logins, person)
    assert claims_of(kept.access_token)["aud"] == f"{NODE}/mcp"
    assert kept.subject == "alice"
    assert kept.refresh_token
    token = access(NODE, logins, lambda: kept.expires_at_s - 30)
    assert token is not None
    assert token.reveal() != kept.access_token
    assert claims_of(token.reveal())["sub"] == "alice"
    found = logins.find(NODE)
    assert found is not None
    assert log_out(NODE, logins)
    logins.put(found)
    with pytest.raises(LoginError) as over:
        access(NODE, logins, lambda: found.expires_at_s)
    assert over.value.error == "invalid_grant"
    assert logins.find(NODE) is None, "a login that is over is forgotten"


def test_the_authorization_code_by_a_port_of_this_machine(idp: Idp, tmp_path: Path) -> None:
    """OAUTH-03: PKCE, state and iss; what does not know the state is not an answer."""

    def show(url: str) -> None:
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
        assert asked["code_challenge_method"] == "S256"

        def walk() -> None:
            forged = urllib.parse.urlencode({"code": "x", "state": "y", "iss": idp.issuer})
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(f"{asked['redirect_uri']}?{forged}", timeout=10)
            answer = idp.browse(f"{url}&login_hint=bob")
            urllib.request.urlopen(answer["url"], timeout=10).close()

        Thread(target=walk, daemon=True).start()

    wanted = Wanted(NODE, idp.issuer, "browser", "openid mcp:read", "browser")
    kept = log_in(wanted, Logins(tmp_path), Person(nobody, show))
    assert claims_of(kept.access_token)["sub"] == "bob"


def test_an_issuer_under_another_name_is_none(idp: Idp, tmp_path: Path) -> None:
    """OAUTH-02: exactly the same text, or nothing."""
    for other in (idp.issuer + "/", idp.issuer.replace("127.0.0.1", "localhost")):
        with pytest.raises(LoginError):
            log_in(Wanted(NODE, other, "device"), Logins(tmp_path), Person(nobody, nobody))
    assert not list(tmp_path.glob("*.login"))

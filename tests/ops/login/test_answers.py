"""What is believed of an issuer, and what is not."""

import pytest

from mantlet.ops.login import asking, browser, issuer
from mantlet.ops.login.asking import LoginError
from mantlet.ops.login.browser import by_browser, code_of
from mantlet.ops.login.issuer import Issuer, discovered, resource_of

IDP = "https://idp.example"


def made(**more: object) -> Issuer:
    whole: dict[str, object] = {
        "name": IDP,
        "token_endpoint": f"{IDP}/token",
        "authorization_endpoint": f"{IDP}/auth",
        "has_s256": True,
        "says_iss": True,
    }
    return Issuer(**whole | more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "answered"),
    [
        (made(), {"code": "c"}),
        (made(), {"code": "c", "iss": "https://evil.example"}),
        (made(says_iss=False), {"code": "c", "iss": "https://evil.example"}),
        (made(), {"error": "access_denied", "iss": "https://evil.example"}),
        (made(), {"error": "access_denied", "iss": IDP}),
        (made(), {"iss": IDP}),
        (made(), {"code": "", "iss": IDP}),
    ],
)
def test_an_answer_of_another_issuer_gives_no_code(known: Issuer, answered: dict[str, str]) -> None:
    """OAUTH-03: RFC 9207, by plain comparison, also on errors."""
    with pytest.raises(LoginError):
        code_of(known, answered)


def test_its_own_answer_does() -> None:
    assert code_of(made(), {"code": "c", "iss": IDP}) == "c"
    assert code_of(made(says_iss=False), {"code": "c"}) == "c"


def test_without_pkce_nothing_is_begun() -> None:
    """OAUTH-03"""
    with pytest.raises(LoginError, match="PKCE"):
        by_browser(made(has_s256=False), {"client_id": "c"}, show=lambda _: None, monotonic=lambda: 0.0)


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example", "token_endpoint": f"{IDP}/token"},
        {"issuer": IDP + "/", "token_endpoint": f"{IDP}/token"},
        {"token_endpoint": f"{IDP}/token"},
        {"issuer": IDP},
        {"issuer": IDP, "token_endpoint": "http://idp.example/token"},
        {"issuer": IDP, "token_endpoint": f"{IDP}/token", "device_authorization_endpoint": "ftp://x"},
        {"issuer": IDP, "token_endpoint": ["x"]},
    ],
)
def test_metadata_about_another_or_without_safety_is_not_used(
    monkeypatch: pytest.MonkeyPatch, document: dict[str, object]
) -> None:
    """OAUTH-02"""
    monkeypatch.setattr(issuer, "get", lambda url: document)
    with pytest.raises(LoginError):
        discovered(IDP)


@pytest.mark.parametrize(
    "document",
    [
        None,
        {"resource": "https://other.example/mcp", "authorization_servers": [IDP]},
        {"resource": "https://node.example/mcp"},
        {"resource": "https://node.example/mcp", "authorization_servers": "https://idp.example"},
    ],
)
def test_a_node_speaks_for_itself_alone(monkeypatch: pytest.MonkeyPatch, document: dict[str, object] | None) -> None:
    """OAUTH-01: RFC 9728 section 3.3"""
    monkeypatch.setattr(issuer, "get", lambda url: document)
    with pytest.raises(LoginError):
        resource_of("https://node.example")


@pytest.mark.parametrize(
    ("url", "is_safe"),
    [
        ("https://idp.example/token", True),
        ("http://127.0.0.1:3000/token", True),
        ("http://[::1]:3000/token", True),
        ("http://idp.example/token", False),
        ("https://user@idp.example/token", False),
        ("https://idp.example/token#x", False),
        ("https://idp.example:99999999/", False),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
def test_secrets_go_by_https_or_stay_on_this_machine(url: str, is_safe: bool) -> None:
    assert (asking.why_not_safe(url) == "") == is_safe


def test_a_waiting_port_ends_by_itself() -> None:
    times = iter([0.0, browser.WAIT_S, browser.WAIT_S, browser.WAIT_S])
    with browser._Waiting() as waiting, pytest.raises(LoginError, match="in time"):
        waiting.answer("state", lambda: next(times))

"""How operators name a client."""

import pytest

from mantlet.core.refusal import NotFound
from mantlet.node.operators.limits import client_key


@pytest.mark.parametrize(
    ("client", "key"),
    [
        ("default/mantlet:api-key/ci", ("principal", "default", "mantlet:api-key", "ci")),
        ("default/mantlet:api-key/a/b", ("principal", "default", "mantlet:api-key", "a/b")),
        ("t/https://idp.example/ada", ("principal", "t", "https://idp.example", "ada")),
        ("t/https://idp.example/realms/x/ada", ("principal", "t", "https://idp.example/realms/x", "ada")),
        ("t/https://idp.example//ada", ("principal", "t", "https://idp.example/", "ada")),
        ("192.0.2.7", ("network", "192.0.2.7/32")),
        ("2001:db8::1", ("network", "2001:db8::/64")),
    ],
)
def test_a_client_is_named_as_the_audit_names_it(client: str, key: tuple[str, ...]) -> None:
    assert client_key(client) == key


@pytest.mark.parametrize("client", ["", "/", "default/ci", "ci"])
def test_what_names_no_client_is_not_found(client: str) -> None:
    with pytest.raises(NotFound):
        client_key(client)

"""A token is worth nothing in another environment than the one it was made for."""

import pytest

from mantlet.core.refusal import InvalidCredential
from mantlet.policies.authenticate.claims import Expectation, read

NOW = 1_000_000
CLAIMS = {
    "iss": "https://a.example",
    "aud": "https://a.example/mcp",
    "sub": "ann",
    "exp": NOW + 60,
    "nbf": NOW,
    "iat": NOW,
}


@pytest.mark.parametrize("made_in", ["staging", "development", "", 1, None])
def test_a_token_of_another_environment_is_refused(made_in: object) -> None:
    """CFG-05: equal keys, issuer and audience do not help."""
    wanted = Expectation("https://a.example", "https://a.example/mcp", 3600, 10, environment="production")
    assert read(CLAIMS | {"env": "production"}, wanted, NOW).subject == "ann"
    with pytest.raises(InvalidCredential):
        read(CLAIMS | {"env": made_in}, wanted, NOW)

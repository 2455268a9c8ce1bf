"""What `check` finds of issuers, without asking anybody."""

import re
from pathlib import Path

import pytest

from mantlet.node.check.examine import WOULD_START, examine

BASE = """
agent: {{url: https://node.example}}
audit: {{path: {folder}/audit}}
database: {{url: "sqlite:///{folder}/mantlet.db"}}
auth: {{issuers: [{issuer}]}}
"""
GOOD = "name: corp, issuer: 'https://idp.example'"


@pytest.mark.parametrize(
    ("issuer", "where"),
    [
        (GOOD, ""),
        ("name: corp, issuer: 'http://idp.example'", "auth.issuers[0].issuer"),
        (GOOD + ", max_token_age: 7200", "auth.issuers[0].max_token_age"),
        (GOOD + ", algorithms: [HS256]", "auth.issuers[0].algorithms"),
        (GOOD + ", claims: {subject: email}", "auth.issuers[0].claims.subject"),
        (GOOD + ", introspection: {enabled: true}", "auth.issuers[0].introspection"),
        (GOOD + ", ca_file: ./none.pem", "auth.issuers[0].ca_file"),
    ],
)
def test_faults_of_issuers_are_found_before_the_start(tmp_path: Path, issuer: str, where: str) -> None:
    """CFG-01, TOK-01, TOK-04, OAUTH-02"""
    file = tmp_path / "mantlet.yaml"
    file.write_text(BASE.format(folder=tmp_path, issuer="{" + issuer + "}"))
    report = examine([str(file)], {})
    assert [problem.key for problem in report.problems] == ([where] if where else [])
    assert (report.exit_code == WOULD_START) is not bool(where)


DOCS = Path(__file__).parents[3] / "docs" / "identity.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: re.findall("name: ([a-z]+)", text)[0])
def test_the_documented_providers_open_in_production(tmp_path: Path, text: str) -> None:
    secret = tmp_path / "client.secret"
    secret.write_text("the secret of the tests, not of anybody else")
    secret.chmod(0o600)
    text = re.sub(r"\./secrets/\w+\.secret", str(secret), text)
    file = tmp_path / "mantlet.yaml"
    places = f'audit: {{path: {tmp_path}/audit}}\ndatabase: {{url: "sqlite:///{tmp_path}/mantlet.db"}}\n'
    file.write_text(places + text)
    report = examine([str(file)], {})
    assert [str(one) for one in (*report.problems, *report.judgement.refused)] == []
    assert report.exit_code == WOULD_START

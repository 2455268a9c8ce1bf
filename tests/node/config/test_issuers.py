"""What `check` finds of issuers, without asking anybody."""

from pathlib import Path

import pytest

from mantlet.node.config.check import WOULD_START, examine

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

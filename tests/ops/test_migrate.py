"""What must change on the way to production is listed whole, and the overlay is tried before it is believed."""

from pathlib import Path

import pytest
from tests.node.config.test_refusals import RISKY

from mantlet.core.config_error import ConfigError
from mantlet.node.check.examine import WOULD_START, examine
from mantlet.ops.migrate.fixes import _BY_CONFIG, _BY_KEY
from mantlet.ops.migrate.plan import plan

DEVELOPMENT = """\
environment: development
debug: true
agent: {url: http://gateway.example}
http: {cors_origins: ["*"]}
admin: {host: 0.0.0.0}
limits: {enabled: false}
authorization: {default: allow}
mcp:
  unknown_methods: allow
  servers:
    - {name: a, url: http://a.internal/mcp}
"""


def put(folder: Path, text: str) -> str:
    (folder / "mantlet.yaml").write_text(text)
    return str(folder / "mantlet.yaml")


def test_what_can_be_known_goes_into_the_overlay_and_the_rest_is_left(tmp_path: Path) -> None:
    """CFG-01"""
    made = plan([put(tmp_path, DEVELOPMENT)], {}, "production")
    assert {key: value for _, (key, value) in made.changes} == {
        "debug": False,
        "agent.url": "https://gateway.example",
        "http.cors_origins": ["https://gateway.example"],
        "admin.host": "127.0.0.1",
        "limits.enabled": True,
        "authorization.default": "deny",
        "mcp.unknown_methods": "deny",
    }
    assert [(reason.risk, reason.key) for reason in made.left] == [("plain_upstream", "mcp.servers.a.url")]
    assert "# TODO mcp.servers.a.url: http://a.internal is not encrypted" in made.overlay("o.yaml")


def test_with_the_overlay_and_what_was_left_it_starts(tmp_path: Path) -> None:
    file = put(tmp_path, DEVELOPMENT.replace("http://a.internal", "https://a.internal"))
    made = plan([file], {}, "production")
    assert (made.left, made.problems) == ((), ())
    (tmp_path / "production.yaml").write_text(made.overlay("production.yaml"))
    files = [file, str(tmp_path / "production.yaml")]
    assert examine(files, {}, settings={"environment": "production"}).exit_code == WOULD_START
    assert examine(files, {}).loaded.config.environment == "development"  # type: ignore[union-attr]


def test_a_variable_that_only_production_needs_is_told_and_nothing_written(tmp_path: Path) -> None:
    text = "environment: development\nenvironments: {production: {agent: {url: '${PUBLIC_URL}'}}}\n"
    made = plan([put(tmp_path, text)], {}, "production")
    assert "PUBLIC_URL" in str(made.problems[0])


def test_what_is_not_understood_now_is_not_migrated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not understood"):
        plan([put(tmp_path, "htp: {}")], {}, "production")


def test_every_fix_is_for_a_reason_that_there_is() -> None:
    rows = {(row[1], row[2]) for row in RISKY}
    twins = {("unvalidated_tokens", f"auth.validate.{name}") for name in ("issuer", "audience", "introspection")}
    assert {*_BY_KEY, *_BY_CONFIG} <= rows | twins

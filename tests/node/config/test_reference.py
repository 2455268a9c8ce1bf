"""The docs say what the model says."""

from pathlib import Path

from mantlet.node.config.reference import BEGIN, END, entries, reference_text

DOCS = Path(__file__).parents[3] / "docs" / "configuration.md"
RENEW = (
    f"renew it: sed -i '/^{BEGIN[:16]}/,$d' docs/configuration.md && mantlet check --reference >> docs/configuration.md"
)


def test_every_key_is_in_the_docs() -> None:
    text = DOCS.read_text()
    missing = [entry.key for entry in entries() if f"`{entry.key}`" not in text]
    assert not missing, RENEW


def test_the_generated_part_is_current() -> None:
    text = DOCS.read_text()
    assert text[text.index(BEGIN) : text.index(END)] == reference_text().partition(END)[0], RENEW


def test_the_reference_tells_types_defaults_and_meanings() -> None:
    found = {entry.key: entry for entry in entries()}
    assert found["http.port"].kind == "a whole number ≥ 0 and ≤ 65535"
    assert found["http.port"].default == "8000"
    assert found["limits.global.requests"].default == "1000"
    assert found["mcp.servers[].command"].default == ""
    assert "Or in a file, as `secret_file`" in found["auth.jwt.secret"].meaning
    assert found["audit.max_file_bytes"].meaning

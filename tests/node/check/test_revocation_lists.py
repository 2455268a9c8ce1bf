"""TLS-02: what `check` says of revocation lists."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.servers.pki import DAY, NOW, Authority, pem

from mantlet.node.check.examine import WOULD_START, examine

ROOT = Authority.root()
SERVER = ROOT.leaf(is_client=False)
GOOD: Callable[[], str] = ROOT.crl
MTLS = "auth: {mtls: {enabled: true, ca_file: DIR/ca.pem, crl_file: DIR/ca.crl}}"
HTTP = "http: {tls: {cert_file: DIR/server.pem, key_file: DIR/server.pem}}"
DEMANDS = HTTP.replace("}}", ", client_ca_file: DIR/ca.pem, crl_file: DIR/ca.crl}}")
BEHIND = "mcp: {servers: [{name: a, url: 'https://h/mcp', tls: {crl_file: DIR/ca.crl}}]}"


def examined(folder: Path, text: str, lists: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]], int]:
    (folder / "ca.pem").write_text(pem(ROOT.certificate))
    SERVER.write(folder, "server")
    (folder / "ca.crl").write_text(lists)
    (folder / "other.crl").write_text(lists)
    path = folder / "mantlet.yaml"
    path.write_text(
        f"environment: development\nvalidation: {{filters: {{script: 'off'}}}}\n{text}\n".replace("DIR", str(folder))
    )
    report = examine([str(path)], {})
    told = [[(problem.key, str(problem)) for problem in problems] for problems in (report.problems, report.doubts)]
    return told[0], told[1], report.exit_code


@pytest.mark.parametrize(
    ("text", "lists", "key", "words"),
    [
        (DEMANDS, pem(ROOT.certificate), "http.tls", "crl_file: holds CERTIFICATE"),
        (f"{HTTP}\n{MTLS}", "", "auth", "holds nothing"),
        (f"{HTTP}\n{MTLS}".replace("ca_file: DIR/ca.pem, ", ""), GOOD(), "auth.mtls", "ca_file"),
        (f"{DEMANDS}\n{MTLS}".replace("ca.crl", "other.crl", 1), GOOD(), "http.tls.crl_file", "name one file"),
        (f"{DEMANDS}\n{MTLS.replace(', crl_file: DIR/ca.crl', '')}", GOOD(), "http.tls.crl_file", "name one file"),
        (HTTP.replace("}}", ", crl_file: DIR/ca.crl}}"), GOOD(), "http.tls", "needs client_ca_file"),
        (BEHIND, GOOD(), "mcp.servers.a", "needs tls.ca_file"),
    ],
)
def test_lists_that_could_not_be_used_are_told_before_the_start(
    tmp_path: Path, text: str, lists: str, key: str, words: str
) -> None:
    problems, _, status = examined(tmp_path, text, lists)
    assert status != WOULD_START
    assert any(words in said for _, said in problems), problems
    assert any(where.startswith(key) for where, _ in problems), problems


@pytest.mark.parametrize(("ends", "words"), [(NOW + DAY, ""), (NOW + DAY / 24, " hours"), (NOW - DAY / 2, "ended")])
@pytest.mark.parametrize("text", [DEMANDS, f"{HTTP}\n{MTLS}"])
def test_a_list_that_ends_is_a_warning(tmp_path: Path, text: str, ends: object, words: str) -> None:
    problems, doubts, status = examined(tmp_path, text, ROOT.crl(ends=ends))  # type: ignore[arg-type]
    assert (problems, status) == ([], WOULD_START)
    told = [said for key, said in doubts if key == "http.tls.crl_file"]
    assert len(told) == bool(words)
    assert all(words in said for said in told)

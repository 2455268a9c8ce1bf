"""The threat model says what is so: its table is current, and every promise that must have a test has one."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODEL = runpy.run_path(str(ROOT / "docs" / "threat_model.py"))
PAGE = ROOT / "docs" / "threat-model.md"


def test_table_is_current() -> None:
    text = PAGE.read_text()
    assert text == MODEL["page"](text), "renew it: make docs"


def test_every_control_has_a_test_or_says_why_not() -> None:
    assert MODEL["without_test"]() == []


def test_tests_name_only_controls_that_exist() -> None:
    sections = {name.rpartition("-")[0] for name in MODEL["controls"]()}
    named = {name for name in MODEL["evidence"]() if name.rpartition("-")[0] in sections}
    assert named - set(MODEL["controls"]()) == set()


def test_tests_that_the_page_names_exist() -> None:
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE.read_text()):
        assert re.search(rf"^ *(?:async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path}::{name}"

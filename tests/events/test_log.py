import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from mantlet.events.config import LoggingConfig
from mantlet.events.log import mask, set_up

CANARY = "canary-4f1c9b72"


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers[:]:
        if handler not in handlers:
            handler.close()
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def log_to(path: Path, **settings: object) -> None:
    set_up(LoggingConfig(enable_console=False, enable_file=True, file_path=str(path), **settings), "production")  # type: ignore[arg-type]


def test_events_are_json_lines_with_their_fields(tmp_path: Path) -> None:
    log_to(tmp_path / "log")
    structlog.get_logger().info("cache.computed", took_s=0.5, key="k")
    logging.getLogger("other.library").warning("plain %s", "words")
    one, two = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert (one["event"], one["took_s"], one["key"], one["level"]) == ("cache.computed", 0.5, "k", "info")
    assert (two["event"], two["level"]) == ("plain words", "warning")


def test_what_is_below_the_level_is_not_written(tmp_path: Path) -> None:
    log_to(tmp_path / "log", level="WARNING")
    structlog.get_logger().info("cache.computed")
    assert (tmp_path / "log").read_text() == ""


def test_no_credential_reaches_the_log(tmp_path: Path) -> None:
    """AUD-06: by name, by shape, nested, in an exception's text, and from a library of others."""
    log_to(tmp_path / "log")
    log = structlog.get_logger()
    log.info("a", token=CANARY, client_secret=CANARY, headers={"Authorization": CANARY, "x": [f"Bearer {CANARY}"]})
    log.info("b", url=f"https://u:{CANARY}@host/?api_key={CANARY}")
    logging.getLogger("httpx").warning("sent Authorization: Bearer %s", CANARY)
    try:
        raise ValueError(f"password={CANARY}")
    except ValueError:
        log.exception("c")
    text = (tmp_path / "log").read_text()
    assert len(text.splitlines()) == 4
    assert CANARY not in text


def test_figures_about_tokens_are_not_secrets() -> None:
    assert mask(None, "info", {"event": "x", "max_tokens": 5, "tokens": "7"}) == {
        "event": "x",
        "max_tokens": 5,
        "tokens": "7",
    }

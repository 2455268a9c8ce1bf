"""The log for people: events with fields, JSON in production, readable in development, no credential ever (AUD-06)."""

import logging
import logging.handlers
import sys
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import Any, Final

from mantlet.events.config import Environment, LoggingConfig
from mantlet.events.scrub import MASK, may_hold_credential, scrub
from mantlet.events.structured import structlog

MAX_VALUE_CHARS: Final = 4096
MAX_DEPTH: Final = 4
_SECRET_NAMES: Final = ("token", "secret", "password", "passwd", "authorization", "cookie", "api_key", "private_key")
_PUBLIC_NAMES: Final = frozenset({"tokens", "max_tokens", "token_type", "input_tokens", "output_tokens"})
_FILE_BYTES: Final = 16 * 1024 * 1024
_FILES_KEPT: Final = 5


def set_up(config: LoggingConfig, environment: Environment) -> None:
    """Send structlog's events and the standard library's messages to the configured places."""
    is_json = (config.format or ("console" if environment == "development" else "json")) == "json"
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        mask,
    ]
    last = structlog.processors.JSONRenderer() if is_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last]
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for handler in _handlers(config):
        handler.setFormatter(formatter)
        root.addHandler(handler)
    root.setLevel(config.level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def into_standard_library() -> None:
    """Hand structlog's events to the standard library's log, for a program whose log is its own affair; once."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            structlog.processors.format_exc_info,
            mask,
            structlog.processors.KeyValueRenderer(key_order=["event"], drop_missing=True),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def mask(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: values under secret names, and text of a credential's shape, are masked."""
    for name, value in event.items():
        if not name.startswith("_"):
            event[name] = _masked(name, value, 0)
    return event


def _masked(name: str, value: Any, depth: int) -> Any:
    low = name.lower()
    if value and low not in _PUBLIC_NAMES and any(word in low for word in _SECRET_NAMES):
        return MASK
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth < MAX_DEPTH and isinstance(value, dict):
        return {str(key): _masked(str(key), inner, depth + 1) for key, inner in value.items()}
    if depth < MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [_masked("", inner, depth + 1) for inner in value]
    text = value if isinstance(value, str) else str(value)
    if len(text) > MAX_VALUE_CHARS:
        text = text[:MAX_VALUE_CHARS] + "…[cut]"
    return scrub(text) if may_hold_credential(text) else text


def _handlers(config: LoggingConfig) -> Iterable[logging.Handler]:
    if config.enable_console:
        yield logging.StreamHandler(sys.stderr)
    if config.enable_file:
        path = Path(config.file_path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield logging.handlers.RotatingFileHandler(path, maxBytes=_FILE_BYTES, backupCount=_FILES_KEPT)

"""Environment variables as a layer of configuration.

`MANTLET_HTTP__PORT=9000` sets `http.port`; a misspelt one is an error like any unknown key. Names that users of
existing systems already have (`RATE_LIMIT_CLIENT_MAX`, `VALKEY_URL`) set what they always meant, below the former.
A variable that is set to nothing counts as not set: compose files write `X: ${X:-}`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from mantlet.node.config.addressing import find
from mantlet.node.config.problem import Origin, Path, Problem, dotted, shown
from mantlet.node.config.shape import Annotation
from mantlet.node.config.tree import Node
from mantlet.node.config.variables import variable

PREFIX: Final = "MANTLET_"
RESERVED: Final = frozenset(
    {"MANTLET_CONFIG", "MANTLET_URL", "MANTLET_ADMIN_URL", "MANTLET_TOKEN", "MANTLET_TOKEN_FILE"}
)
"""The command line's own, not configuration."""
_SERVICE_LINKS: Final = re.compile(
    r"MANTLET_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)?)"
)
"""Kubernetes puts these beside every pod when a Service is called `mantlet`."""

_MEMORY: Final = re.compile(r"(\d+)(b|k|kb|m|mb|g|gb)?")
_UNITS: Final = {None: 1, "b": 1, "k": 1000, "kb": 1024, "m": 10**6, "mb": 1024**2, "g": 10**9, "gb": 1024**3}
"""As valkey.conf reads them."""

Layer = list[tuple[Path, Node]]
"""Values to set, in order: later ones win."""


def _seconds(text: str) -> str | None:
    return f"{int(text) / 1000:g}" if text.isdigit() and int(text) else None


def _either(text: str) -> str | None:
    # Found in the wild as both; nobody keeps an idle connection for three hours, or for under ten seconds.
    return _seconds(text) if text.isdigit() and int(text) >= 10_000 else text if text.isdigit() and int(text) else None


def _memory(text: str) -> str | None:
    found = _MEMORY.fullmatch(text.strip().lower())
    return str(int(found[1]) * _UNITS[found[2]]) if found else None


def _text(text: str) -> str | None:
    return text


PLAIN: Final[tuple[tuple[str, Path, Callable[[str], str | None], str], ...]] = (
    # The older, more general name first: where two say the same thing, the more exact one wins.
    ("ENVIRONMENT", ("environment",), _text, ""),
    ("JWT_SECRET", ("auth", "jwt", "secret"), _text, ""),
    ("RATE_LIMIT_ENABLED", ("limits", "enabled"), _text, "true or false"),
    ("RATE_LIMIT_MAX_REQUESTS", ("limits", "client", "requests"), _text, ""),
    ("RATE_LIMIT_WINDOW_MS", ("limits", "client", "window"), _seconds, "a whole number of milliseconds, at least 1"),
    ("RATE_LIMIT_CLIENT_MAX", ("limits", "client", "requests"), _text, ""),
    ("RATE_LIMIT_CLIENT_WINDOW", ("limits", "client", "window"), _text, ""),
    ("RATE_LIMIT_GLOBAL_MAX", ("limits", "global", "requests"), _text, ""),
    ("RATE_LIMIT_GLOBAL_WINDOW", ("limits", "global", "window"), _text, ""),
    ("VALKEY_URL", ("store", "url"), _text, ""),
    ("VALKEY_PASSWORD", ("store", "password"), _text, ""),
    ("VALKEY_MAXMEMORY", ("store", "max_memory_bytes"), _memory, "bytes, or a number with kb, mb or gb"),
    ("VALKEY_MAXMEMORY_POLICY", ("store", "max_memory_policy"), _text, ""),
    ("ENABLE_CACHE", ("cache", "enabled"), _text, "true or false"),
    ("WS_AUTH_TOKEN", ("websocket", "auth_token"), _text, ""),
    ("TCP_AUTH_TOKEN", ("tcp", "auth_token"), _text, ""),
    ("WS_MAX_CONNECTIONS", ("websocket", "max_connections"), _text, ""),
    ("WS_CONNECTION_TIMEOUT", ("websocket", "idle_timeout"), _either, "a whole number of seconds or milliseconds"),
    ("TCP_MAX_CONNECTIONS", ("tcp", "max_connections"), _text, ""),
    ("CORS_ALLOWED_ORIGINS", ("http", "cors_origins"), _text, ""),
    ("SSL_ENABLED", ("http", "tls", "enabled"), _text, "true or false"),
    ("OAUTH_REQUIRE_HTTPS", ("auth", "require_https"), _text, "true or false"),
    ("AGENT_COMMUNICATION_KEY", ("inter_agent", "communication_key"), _text, ""),
    ("FORCE_AGENT_HTTPS", ("inter_agent", "force_https"), _text, "true or false"),
    ("VERIFY_CERTIFICATES", ("inter_agent", "verify_certificates"), _text, "true or false"),
    ("CLIENT_CERT_PATH", ("inter_agent", "client_cert_file"), _text, ""),
    ("CLIENT_KEY_PATH", ("inter_agent", "client_key_file"), _text, ""),
)


def layer_of(environ: Mapping[str, str], model: Annotation, problems: list[Problem]) -> Layer:
    """What the variables set; what is wrong with them goes to `problems`."""
    return [*_plain(environ, problems), *_own(environ, model, problems)]


def _plain(environ: Mapping[str, str], problems: list[Problem]) -> Layer:
    layer: Layer = []
    for name, path, read, allowed in PLAIN:
        origin = Origin("environment variable", name)
        try:
            text = variable(name, environ)
        except (OSError, ValueError) as error:
            problems.append(Problem(f"the file that {name}_FILE names cannot be read: {error}", dotted(path), origin))
            continue
        if text is None:
            continue
        value = read(text)
        if value is None:
            problems.append(Problem("wrong value", dotted(path), origin, found=shown(text), allowed=allowed))
            continue
        layer.append((path, Node(value, origin, is_text=True)))
    _ws_auth(environ, problems)
    return layer + _bearer(environ, problems) + _cors(environ, problems)


def _bearer(environ: Mapping[str, str], problems: list[Problem]) -> Layer:
    """`BEARER_TOKEN_VALIDATION`: `jwt` is what a node does anyway; `valid` turns the mock on (development only)."""
    name = "BEARER_TOKEN_VALIDATION"
    origin = Origin("environment variable", name)
    match environ.get(name) or "jwt":
        case "jwt":
            return []
        case "valid":
            token: Node = Node("valid", origin)
            return [(("auth", "mock", "tokens", "valid"), Node({"subject": token}, origin, {"subject": origin}))]
        case other:
            problems.append(Problem("wrong value", "auth.mock", origin, found=shown(other), allowed="valid, jwt"))
            return []


def _ws_auth(environ: Mapping[str, str], problems: list[Problem]) -> None:
    """`WS_AUTH_ENABLED`: true is what a node does anyway, and one door without authentication there is not."""
    if environ.get("WS_AUTH_ENABLED", "").lower() not in ("", "true", "1", "yes", "on"):
        origin = Origin("environment variable", "WS_AUTH_ENABLED")
        allowed = "true; without authentication runs only a whole node, in development: auth.enabled: false"
        problems.append(Problem("wrong value", "websocket", origin, shown(environ["WS_AUTH_ENABLED"]), allowed))


def _cors(environ: Mapping[str, str], problems: list[Problem]) -> Layer:
    """`CORS_ENABLED=false` takes every origin away; `true` leaves those that are listed."""
    origin = Origin("environment variable", "CORS_ENABLED")
    match environ.get("CORS_ENABLED", "").lower() or "true":
        case "true" | "1" | "yes" | "on":
            return []
        case "false" | "0" | "no" | "off":
            return [(("http", "cors_origins"), Node([], origin))]
        case other:
            problems.append(Problem("wrong value", "http.cors_origins", origin, shown(other), "true, false"))
            return []


def _own(environ: Mapping[str, str], model: Annotation, problems: list[Problem]) -> Layer:
    layer: Layer = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in RESERVED or not environ[name]:
            continue
        origin = Origin("environment variable", name)
        words = name[len(PREFIX) :].split("__")
        place = find(words, model)
        if place.unknown:
            if len(words) == 1 and _SERVICE_LINKS.fullmatch(name):
                continue
            near = "__".join([*map(str, place.path), place.nearest]).upper() if place.nearest else ""
            problems.append(Problem("unknown key", dotted((*place.path, place.unknown.lower())), origin,
                                    nearest=PREFIX + near if near else ""))  # fmt: skip
            continue
        layer.append((place.path, Node(environ[name], origin, is_text=True)))
    return layer


def overrides_of(settings: Mapping[str, str], model: Annotation, problems: list[Problem]) -> Layer:
    """What the command line sets (`--set http.port=9000`)."""
    layer: Layer = []
    for key, text in settings.items():
        origin = Origin("command line", f"--set {key}")
        place = find(key.replace("[", ".").replace("]", "").split("."), model)
        if place.unknown:
            near = dotted((*place.path, place.nearest)) if place.nearest else ""
            problems.append(Problem("unknown key", dotted((*place.path, place.unknown)), origin, nearest=near))
        else:
            layer.append((place.path, Node(text, origin, is_text=True)))
    return layer

"""Which node is meant and with which token: options first, then variables, then the configuration at hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from mantlet.core.config_error import ConfigError
from mantlet.core.secret import Secret
from mantlet.node.config import Config, default_files, load
from mantlet.node.config.secret_files import read_secret
from mantlet.ops.remote.http import Address

Door = Literal["http", "admin"]
URL_VARIABLE: Final[Mapping[Door, str]] = {"http": "MANTLET_URL", "admin": "MANTLET_ADMIN_URL"}
DEFAULT_URL: Final[Mapping[Door, str]] = {"http": "http://127.0.0.1:8000", "admin": "http://127.0.0.1:9501"}
ADMIN: Final = "admin"
_AROUND: Final = "a running node can be reached without its configuration: --url URL --token-file FILE"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line said; empty means: not said."""

    url: str = ""
    token: Secret | None = None
    token_file: str = ""
    files: Sequence[str] = ()


def target(door: Door, wish: Wish, environ: Mapping[str, str]) -> Address:
    """The address of a door. Raises `ConfigError`.

    The key of the configuration's first administrator is only ever shown to the address in that configuration, or to
    this machine: a URL from elsewhere must not be able to collect it.
    """
    url = wish.url or environ.get(URL_VARIABLE[door], "")
    if url and not url.lower().startswith(("http://", "https://")):
        raise ConfigError(url, "does not begin with http:// or https://", f"http://{url}" if "://" not in url else "")
    if (path := urlsplit(url).path.strip("/")) not in ("", "mcp"):  # clients write the endpoint, and mean the node
        hint = f"--server {path.removeprefix('mcp/')}" if path.startswith("mcp/") else "leave the path out"
        raise ConfigError(url, "is where the node is, without a path", hint)
    token = told_token(wish, environ)
    if url and token:
        return Address(url, token)
    config = _config(wish, environ, is_needed=not url)
    known = _url_of(config, door) if config else DEFAULT_URL[door]
    if token is None and config is not None and (not url or url.rstrip("/") == known or Address(url).is_local):
        token = _first_admin(config)
    return Address(url or known, token)


def told_token(wish: Wish, environ: Mapping[str, str]) -> Secret | None:
    """The token that options or variables name, or None. Raises `ConfigError`."""
    if wish.token:
        return wish.token
    if file := wish.token_file or environ.get("MANTLET_TOKEN_FILE", ""):
        try:
            return Secret(read_secret(Path(file)).text)
        except OSError as error:
            raise ConfigError(file, f"cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ConfigError(file, str(error)) from error
    return Secret(value) if (value := environ.get("MANTLET_TOKEN", "")) else None


def _config(wish: Wish, environ: Mapping[str, str], *, is_needed: bool) -> Config | None:
    files = list(wish.files) or default_files()
    if not files:
        return None
    try:
        return load(files, environ).config
    except ConfigError as error:
        # Only what was asked for by name, or is the sole way to an address, must be sound.
        if wish.files or is_needed:
            error.add_note(_AROUND)
            raise
        return None


def _url_of(config: Config, door: Door) -> str:
    section = config.admin if door == "admin" else config.http
    scheme = "https" if section.tls.is_on else "http"
    return f"{scheme}://{_reachable(section.host)}:{section.port}"


def _reachable(host: str) -> str:
    if host in ("", "0.0.0.0", "::", "[::]"):
        return "127.0.0.1"  # bound everywhere, so here too
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _first_admin(config: Config) -> Secret | None:
    return next((key.key for key in config.auth.api_keys if ADMIN in key.roles and key.key), None)

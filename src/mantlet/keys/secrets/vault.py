"""Vault's HTTP API, as far as a node needs it: log in, read KV version 2, renew, give back.

With an AppRole the node takes a token for one reading and gives it back at its end, so that no lease is left behind
when it is killed. A token out of a file is renewed with each reading instead, which keeps it alive while the node is.
Only the configured address is asked; nothing is redirected, and no proxy is taken from the environment.
"""

import http.client
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote, urlsplit

from mantlet.core.config_error import ConfigError
from mantlet.core.secret import Secret
from mantlet.keys.secrets.config import VaultConfig
from mantlet.keys.secrets.reference import Reference

MAX_BYTES: Final = 1_048_576
_TOKEN: Final = "X-Vault-Token"  # noqa: S105 - a header's name


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer of the vault."""

    status: int
    body: bytes


Ask = Callable[[str, str, Mapping[str, str], bytes], Answered]
"""Verb, path below the address, headers, body. Raises `ConfigError` when the vault cannot be reached."""


class Vault:
    """One reading of as many secrets as are needed: a context, so that what was taken is given back."""

    def __init__(self, config: VaultConfig, ask: Ask | None = None) -> None:
        self._config = config
        self._ask = ask or asking(config)
        self._token: Secret | None = None
        self._is_own = False
        self._read: dict[str, Mapping[str, Any]] = {}

    def __enter__(self) -> "Vault":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None and self._is_own:
            self._send("POST", "auth/token/revoke-self")
        self._token = None

    def read(self, reference: Reference) -> Secret:
        """The secret that stands there. Raises `ConfigError`, which holds no secret."""
        if self._token is None:
            self._log_in()
        if reference.name not in self._read:
            mount, _, path = reference.name.partition("/")
            answered = self._send("GET", f"{quote(mount, safe='')}/data/{quote(path)}")
            self._read[reference.name] = self._data(answered, str(reference))
        value = self._read[reference.name].get(reference.key)
        if not isinstance(value, str) or not value:
            raise ConfigError(str(reference), "is not there, or is no text")
        return Secret(value)

    def _log_in(self) -> None:
        approle, given = self._config.approle, self._config.token
        if approle is None:
            assert given is not None  # the section says so
            self._token = given
            self._send("POST", "auth/token/renew-self")  # one that cannot be renewed says no, and is as good as before
            return
        if approle.secret_id is None:
            raise ConfigError("secrets.vault.approle", "has no secret_id", "secret_id_file")
        body = {"role_id": approle.role_id, "secret_id": approle.secret_id.reveal()}
        answered = self._send("POST", f"auth/{quote(approle.mount)}/login", body)
        auth = _object(answered, "the login").get("auth")
        token = auth.get("client_token") if isinstance(auth, dict) else None
        if answered.status != 200 or not isinstance(token, str) or not token:
            raise ConfigError("secrets.vault.approle", f"the vault refused the login ({answered.status})")
        self._token, self._is_own = Secret(token), True

    def _data(self, answered: Answered, what: str) -> Mapping[str, Any]:
        if answered.status == 403:
            raise ConfigError(what, "the vault refuses it", "its policy must allow `read`, and the token must live")
        if answered.status == 404:
            raise ConfigError(what, "is not there, or not in a KV version 2")
        if answered.status != 200:
            raise ConfigError(what, f"the vault answered {answered.status}", "is it sealed?")
        outer = _object(answered, what).get("data")
        inner = outer.get("data") if isinstance(outer, dict) else None
        if not isinstance(inner, dict):
            raise ConfigError(what, "is not in a KV version 2, or was deleted")
        return inner

    def _send(self, verb: str, path: str, body: Mapping[str, str] | None = None) -> Answered:
        headers = {"X-Vault-Request": "true"}
        if self._config.namespace:
            headers["X-Vault-Namespace"] = self._config.namespace
        if self._token is not None:
            headers[_TOKEN] = self._token.reveal()
        return self._ask(verb, f"/v1/{path}", headers, b"" if body is None else json.dumps(body).encode())


def asking(config: VaultConfig) -> Ask:
    """Asks over the network. Raises `ConfigError` for an address that no secret may cross."""
    parts = urlsplit(config.address)
    if not parts.hostname or parts.query or parts.fragment or parts.username or parts.path.strip("/"):
        raise ConfigError("secrets.vault.address", "is no plain address", "https://vault.example.com:8200")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")):
        raise ConfigError("secrets.vault.address", "is not https")
    host, port = parts.hostname, parts.port

    def ask(verb: str, path: str, headers: Mapping[str, str], body: bytes) -> Answered:
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=config.ca_file)
            connection = http.client.HTTPSConnection(host, port, timeout=config.timeout, context=context)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=config.timeout)
        try:
            connection.request(verb, path, body=body, headers=dict(headers))
            answer = connection.getresponse()
            content = answer.read(MAX_BYTES + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            # The class alone: a ValueError may quote a header, and with it the token.
            raise ConfigError("secrets.vault", f"cannot be reached: {type(error).__name__}") from None
        finally:
            connection.close()
        if len(content) > MAX_BYTES:
            raise ConfigError("secrets.vault", f"answered with more than {MAX_BYTES} bytes")
        return Answered(answer.status, content)

    return ask


def _object(answered: Answered, what: str) -> Mapping[str, Any]:
    try:
        value = json.loads(answered.body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ConfigError("secrets.vault", f"answered {answered.status} without an object", what)
    return value

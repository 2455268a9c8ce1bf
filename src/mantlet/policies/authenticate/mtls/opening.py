"""From `auth.mtls` to the provider; every fault is found here, at start."""

from pathlib import Path

from mantlet.core.clock import Clock
from mantlet.core.config_error import ConfigError
from mantlet.policies.authenticate.config import MtlsConfig
from mantlet.policies.authenticate.mtls import names
from mantlet.policies.authenticate.mtls.lists import Lists
from mantlet.policies.authenticate.mtls.provider import Known, Mtls
from mantlet.policies.authenticate.mtls.revocations import Revocations, Tell, entry


def open_mtls(config: MtlsConfig, clock: Clock, tell: Tell) -> Mtls | None:
    """The provider, or None when it is off. Raises `ConfigError`."""
    if not config.enabled:
        return None
    known: dict[str, Known] = {}
    for index, caller in enumerate(config.callers):
        where = f"auth.mtls.callers[{index}]"
        try:
            name = names.read(caller.san)
        except ValueError as error:
            raise ConfigError(f"{where}.san", str(error)) from error
        if name in known:
            raise ConfigError(f"{where}.san", "stands there twice", "one entry a name")
        if caller.subject is not None and not caller.subject.strip():
            raise ConfigError(f"{where}.subject", "is empty")
        known[name] = Known(
            caller.subject or name, caller.tenant, caller.kind, frozenset(caller.roles), frozenset(caller.scopes)
        )
    for index, text in enumerate(config.revoked):
        try:
            entry(text)
        except ValueError as error:
            raise ConfigError(f"auth.mtls.revoked[{index}]", str(error)) from error
    try:
        path = None if config.revoked_file is None else Path(config.revoked_file)
        revocations = Revocations(config.revoked, path, tell)
    except (OSError, ValueError) as error:
        raise ConfigError("auth.mtls.revoked_file", f"cannot be used: {error}") from error
    return Mtls(known, revocations, clock, _lists(config, clock, tell))


def _lists(config: MtlsConfig, clock: Clock, tell: Tell) -> Lists | None:
    if config.crl_file is None:
        return None
    if config.ca_file is None:
        raise ConfigError("auth.mtls.crl_file", "needs auth.mtls.ca_file", "name the authority whose lists they are")
    is_whole_chain = config.crl_check == "chain"
    try:
        return Lists(Path(config.crl_file), Path(config.ca_file), clock, tell, is_whole_chain=is_whole_chain)
    except (OSError, ValueError) as error:
        raise ConfigError("auth.mtls.crl_file", f"cannot be used: {error}") from error

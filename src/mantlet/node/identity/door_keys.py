"""`websocket.auth_token` and `tcp.auth_token`: keys of one door each, as what they stand for."""

import msgspec

from mantlet.node.config.model import Config
from mantlet.policies.authenticate.config import ApiKeyConfig, AuthConfig


def auth_of(config: Config) -> AuthConfig:
    """`config.auth` with the keys of the doors among the others."""
    keys = list(config.auth.api_keys)
    if config.websocket.auth_token is not None:
        keys.append(ApiKeyConfig(name="websocket", key=config.websocket.auth_token, doors=("websocket",)))
    if config.tcp.auth_token is not None:
        keys.append(ApiKeyConfig(name="tcp", key=config.tcp.auth_token, doors=("tcp",)))
    return msgspec.structs.replace(config.auth, api_keys=tuple(keys))

"""What an operator may write."""

import msgspec
import pytest

from mantlet.upstreams.transports.stdio.config import StdioServerConfig

TIME = {"name": "time", "transport": "stdio", "command": ["python", "-m", "mcp_server_time"]}


def test_the_documented_example_reads() -> None:
    example = {**TIME, "env": {}, "sandbox": "auto", "isolation": "shared", "max_children": 20}
    config = msgspec.convert({**example, "restart": {"backoff": 1, "max": 30}}, StdioServerConfig)
    assert config.restart.max == 30


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"command": []}, "command"),
        ({"command": ["a\0b"]}, "command"),
        ({"command": "python -m x"}, "array"),
        ({"env": {"A=B": "c"}}, "env"),
        ({"isolation": "process"}, "isolation"),
        ({"session_idle_timeout": 0}, "session_idle_timeout"),
        ({"name": "../x"}, "name"),
        ({"max_children": 0}, "max_children"),
        ({"restart": {"backoff": 0}}, "backoff"),
        ({"restart": {"backoff": 9, "max": 3}}, "backoff"),
        ({"shell": True}, "unknown field"),
        ({"stop_timeout": 0}, "stop_timeout"),
        ({"rlimits": {"files": 0}}, "rlimits"),
        ({"rlimits": {"cpu": 0}}, "rlimits"),
        ({"rlimits": {"nice": 1}}, "unknown field"),
        ({"paths": {"read": ["relative"]}}, "absolute"),
        ({"paths": {"write": ["/a\0b"]}}, "absolute"),
        ({"paths": {}, "sandbox": "off"}, "sandbox"),
        ({"umask": "8"}, "umask"),
        ({"umask": "01777"}, "umask"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=says):
        msgspec.convert({**TIME, **change}, StdioServerConfig)

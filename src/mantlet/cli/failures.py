"""What a failure looks like: one line for the user, and the exit code."""

from mantlet.core.config_error import ConfigError

REFUSED = 1
NOT_UNDERSTOOD = 2
UNREACHABLE = 3
UNAUTHORIZED = 4


def exit_code_of(error: Exception) -> int | None:
    """The exit code of a failure that is not ours; None for a fault of the program, which keeps its traceback."""
    if isinstance(error, ConfigError):
        return NOT_UNDERSTOOD
    from mantlet.ops.remote.http import NodeError, NodeUnreachable, Refused

    if isinstance(error, NodeUnreachable):
        return UNREACHABLE
    if isinstance(error, Refused) and error.status in (401, 403):
        return UNAUTHORIZED
    return REFUSED if isinstance(error, NodeError) else None


def told(error: Exception) -> str:
    """One line per fault."""
    lines = [f"mantlet: {line}" for line in str(error).splitlines()]
    if getattr(error, "status", 0) == 401:
        lines.append("mantlet: give a token with --token-file, MANTLET_TOKEN_FILE or MANTLET_TOKEN")
    return "\n".join(lines)

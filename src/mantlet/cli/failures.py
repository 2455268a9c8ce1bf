"""What a failure looks like: one line for the user, and the exit code."""

from mantlet.core.config_error import ConfigError

REFUSED = 1
NOT_UNDERSTOOD = 2
UNREACHABLE = 3
UNAUTHORIZED = 4
ANOTHERS = ("", "denied", "insufficient_scope", "delegation_refused")
"""Reasons of a 403 that somebody else's token might not get; a stopped or quarantined tool is refused to everybody."""


def exit_code_of(error: Exception) -> int | None:
    """The exit code of a failure that is not ours; None for a fault of the program, which keeps its traceback."""
    if isinstance(error, ConfigError):
        return NOT_UNDERSTOOD
    from mantlet.ops.remote.http import NodeError, NodeUnreachable, Refused

    if isinstance(error, NodeUnreachable):
        return UNREACHABLE
    if isinstance(error, Refused) and (error.status == 401 or (error.status == 403 and error.reason in ANOTHERS)):
        return UNAUTHORIZED
    return REFUSED if isinstance(error, NodeError) else None


def told(error: Exception) -> str:
    """One line per fault."""
    said = [*str(error).splitlines(), *getattr(error, "__notes__", ())]
    lines = [f"mantlet: {line}" for line in said]
    if getattr(error, "reason", "") == "unauthenticated":
        lines.append("mantlet: give a token with --token-file, MANTLET_TOKEN_FILE or MANTLET_TOKEN")
    return "\n".join(lines)

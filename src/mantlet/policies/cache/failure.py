"""A refusal told again: to others who waited for the same, and to other processes. Pure."""

from typing import Final

from mantlet.core.refusal import BadUpstream, DeadlineExceeded, Overloaded, Refusal, Unavailable, UpstreamUnavailable

_NAMED: Final = {
    kind.__name__: kind for kind in (BadUpstream, DeadlineExceeded, Overloaded, Unavailable, UpstreamUnavailable)
}
"""What says something of the server alone, and so as much to every process. By class, not by text: what the texts say
is another node's affair."""


def again(error: BaseException) -> BaseException:
    """An exception of its own for each who waited: one that is raised many times grows with every frame it passes, and
    keeps them all."""
    if not isinstance(error, Refusal):
        return Refusal(why=type(error).__name__)
    copy = type(error).__new__(type(error))
    copy.__dict__.update(error.__dict__)
    copy.args = error.args
    return copy


def is_servers(error: BaseException) -> bool:
    """Whether it is the server that failed: then an answer whose time is over is better than none (stale-if-error)."""
    return _is_of_server(error) and not (isinstance(error, BadUpstream) and error.said)


def is_shared(error: BaseException) -> bool:
    """Whether it is told all who wait: not what another's session or grant came to."""
    return _is_of_server(error) or not isinstance(error, Refusal)


def _is_of_server(error: BaseException) -> bool:
    return isinstance(error, BadUpstream | DeadlineExceeded | Unavailable)


def name_of(error: BaseException) -> bytes:
    """For other processes; empty for what they had better find out themselves."""
    name = type(error).__name__
    if _NAMED.get(name) is not type(error):
        return b""
    return f"{name} {error.said}".encode() if isinstance(error, BadUpstream) and error.said else name.encode()


def named(name: bytes) -> Refusal | None:
    """The refusal of that name."""
    word, _, said = name.decode("latin-1").partition(" ")
    kind = _NAMED.get(word)
    refusal = None if kind is None else kind(why="another process was told so")
    if isinstance(refusal, BadUpstream) and said:
        refusal.said = "busy" if said == "busy" else "no"
    return refusal

"""A request of a plain HTTP service: what is passed on as it comes, in both directions."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from mantlet.core.call import Incoming

Start = Callable[[Coroutine[Any, Any, Any], str], "asyncio.Task[Any]"]
"""`core.tasks.Tasks.start`: sending a body is a task of its own, since an answer may begin before it is sent."""


@dataclass(frozen=True, slots=True)
class Relay:
    """How an exchange differs from that of a whole message with a whole answer.

    The answer comes as a stream unless all of it came with its head. Its size is bounded all the same, except that of
    an event stream.
    """

    start: Start
    body: Incoming | None = None
    """Follows the head: chunked unless its length is known."""
    is_head: bool = False
    """The request is HEAD: its answer has no body, whatever it says of one."""

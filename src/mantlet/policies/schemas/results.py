"""What of an answer to a call is held to the tool's output schema. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from mantlet.core.call import Era
from mantlet.policies.schemas.compiled import Compiled, Fault

CHECKED: Final = frozenset({"tools/call", "tasks/result", "tasks/get"})
"""Methods whose answers may hold a tool's result."""
MEMBER: Final = "structuredContent"


def fault_in(message: Mapping[str, Any], method: str, era: Era, schema: Compiled, size_bytes: int) -> Fault | None:
    """What is wrong with the result in `message`; None where it is right, or is none.

    Errors, of the protocol's or the tool's kind, questions to the client and tasks that are under way promise nothing.
    """
    result = message.get("result")
    if type(result) is dict and method == "tasks/get":
        result = result.get("result")  # a finished task holds it; another has none
    if type(result) is not dict or result.get("isError") is True:
        return None
    if result.get("resultType", "complete") != "complete" or ("task" in result and "content" not in result):
        return None
    if MEMBER not in result:
        # The older revisions do not all know it; in this one a server must give it (server/tools, "Output Schema").
        return Fault("", "required") if era == "modern" else None
    return schema.fault(result[MEMBER], size_bytes)

"""What the running node would decide: `POST /admin/v1/explain`, with the question as JSON. It changes nothing."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mantlet.admin.app import MAX_OBJECT_CHARS, for_admins
from mantlet.core.refusal import InvalidParams

Explain = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""From a question to its answer. Raises `msgspec.ValidationError` for what is no question."""


def explain_routes(explain: Explain) -> list[BaseRoute]:
    """The route, for administrators alone."""

    async def asked(request: Request) -> Response:
        try:
            question = msgspec.json.decode(await request.body(), type=dict[str, Any])
            request.state.arrival.trail.object = str(question.get("caller", ""))[:MAX_OBJECT_CHARS]
            return JSONResponse(await explain(question))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InvalidParams(f"The body is no question: {error}") from error

    return [Route("/admin/v1/explain", for_admins(asked), methods=["POST"])]

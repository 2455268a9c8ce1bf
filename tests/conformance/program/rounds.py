"""Tools and a prompt that answer in rounds: `InputRequiredResult`, then the client's inputs (SEP-2322)."""

import asyncio
import json
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.shared.message import ServerMessageMetadata
from mcp_types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    SamplingMessage,
    TextContent,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

MAX_ROUNDS = 3


def ask(message: str, name: str, type_: str = "string") -> ElicitRequest:
    """A form with the one field `name`."""
    schema: dict[str, Any] = {"type": "object", "properties": {name: {"type": type_}}, "required": [name]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(text: str) -> CreateMessageRequest:
    """A question to the client's model."""
    message = SamplingMessage(role="user", content=TextContent(type="text", text=text))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=100))


def answered(ctx: Context, key: str) -> Any:
    """The client's input under `key`, or None."""
    return (ctx.input_responses or {}).get(key)


def field(ctx: Context, key: str, name: str) -> Any:
    """One field of a form the client filled in, or None."""
    result = answered(ctx, key)
    return result.content.get(name) if isinstance(result, ElicitResult) and result.content else None


async def elicitation(ctx: Context) -> str | InputRequiredResult:
    """Greet by name."""
    name = field(ctx, "user_name", "name")
    if name is None:
        return InputRequiredResult(input_requests={"user_name": ask("What is your name?", "name")})
    return f"Hello, {name}!"


async def sampling(ctx: Context) -> str | InputRequiredResult:
    """Let a model name a capital."""
    result = answered(ctx, "capital_question")
    if not isinstance(result, CreateMessageResult):
        return InputRequiredResult(input_requests={"capital_question": sample("What is the capital of France?")})
    return f"The model said: {result.content.text if result.content.type == 'text' else result.content.type}"


async def list_roots(ctx: Context) -> str | InputRequiredResult:
    """Count the client's roots."""
    result = answered(ctx, "client_roots")
    if not isinstance(result, ListRootsResult):
        return InputRequiredResult(input_requests={"client_roots": ListRootsRequest()})
    return f"The client has {len(result.roots)} root(s)"


async def request_state(ctx: Context) -> str | InputRequiredResult:
    """Want the state back that was given out."""
    if answered(ctx, "confirm") is not None and ctx.request_state == "round-1":
        return "state-ok"
    return InputRequiredResult(
        input_requests={"confirm": ask("Please confirm", "ok", "boolean")}, request_state="round-1"
    )


async def multiple_inputs(ctx: Context) -> str | InputRequiredResult:
    """Want three things at once."""
    wanted = {
        "user_name": ask("What is your name?", "name"),
        "greeting": sample("Generate a greeting"),
        "client_roots": ListRootsRequest(),
    }
    if all(answered(ctx, key) is not None for key in wanted):
        return "all three are here"
    return InputRequiredResult(input_requests=wanted, request_state="three-inputs")


async def multi_round(ctx: Context) -> str | InputRequiredResult:
    """Ask for a name, then for a color; the state remembers the name."""
    name = json.loads(ctx.request_state)["name"] if ctx.request_state else None
    color = field(ctx, "step2", "color")
    if name and color:
        return f"{name} likes {color}"
    name = name or field(ctx, "step1", "name")
    if name:
        step = {"step2": ask("Step 2: What is your favorite color?", "color")}
    else:
        step = {"step1": ask("Step 1: What is your name?", "name")}
    return InputRequiredResult(input_requests=step, request_state=json.dumps({"name": name}))


async def capabilities(ctx: Context) -> InputRequiredResult:
    """Ask only for what the client says it can give."""
    declared = ctx.client_capabilities
    wanted: dict[str, Any] = {}
    if declared is None or declared.sampling is not None:
        wanted["sample"] = sample("Say hello")
    if declared is None or declared.elicitation is not None:
        wanted["ask"] = ask("What is your name?", "name")
    return InputRequiredResult(input_requests=wanted, request_state="by-capability")


async def prompt(ctx: Context) -> list[UserMessage] | InputRequiredResult:
    """Ask for the context that the prompt is about."""
    context = field(ctx, "user_context", "context")
    if context is None:
        return InputRequiredResult(input_requests={"user_context": ask("What is the context?", "context")})
    return [UserMessage(content=TextContent(type="text", text=f"Mind this context: {context}"))]


TOOLS = {
    "elicitation": elicitation,
    "sampling": sampling,
    "list_roots": list_roots,
    "request_state": request_state,
    "multiple_inputs": multiple_inputs,
    "multi_round": multi_round,
    "tampered_state": request_state,
    "capabilities": capabilities,
}


class Round:
    """What a function of this file looks at, filled from what a legacy client was asked and said."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self.client_capabilities = ctx.client_capabilities
        self.input_responses: dict[str, Any] = {}
        self.request_state: str | None = None

    async def ask(self, wanted: InputRequiredResult) -> None:
        """All at once, as a server of that era does: by requests of its own, in mid-call."""
        requests = wanted.input_requests or {}
        answers = await asyncio.gather(*(self._one(request) for request in requests.values()))
        self.input_responses = dict(zip(requests, answers, strict=True))
        self.request_state = wanted.request_state

    async def _one(self, request: Any) -> Any:
        kind = {ElicitRequest: ElicitResult, CreateMessageRequest: CreateMessageResult}.get(
            type(request), ListRootsResult
        )
        # On the call's own stream, so that whoever stands between can tell whose it is.
        own = ServerMessageMetadata(related_request_id=self._ctx.request_id)
        return await self._ctx.session.send_request(request, kind, metadata=own)


def in_either_era(function: Any) -> Any:
    """The function in rounds for modern clients, and in one go for legacy ones."""

    async def played(ctx: Context) -> Any:
        if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
            return await function(ctx)
        round_ = Round(ctx)
        for _ in range(MAX_ROUNDS):
            result = await function(round_)
            if not isinstance(result, InputRequiredResult):
                return result
            await round_.ask(result)
        return "asked for it all"

    played.__doc__ = function.__doc__
    return played


def add_to(server: MCPServer) -> None:
    """Register the tools and the prompt of this file."""
    for name, function in TOOLS.items():
        server.add_tool(in_either_era(function), name=f"test_input_required_result_{name}", structured_output=False)
    server.prompt(name="test_input_required_result_prompt")(in_either_era(prompt))

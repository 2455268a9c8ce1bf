"""The tools: one kind of content each, then those that speak while they work, then those that ask the client."""

import asyncio
from typing import Annotated, Any, Literal

from mcp.server.elicitation import AcceptedElicitation, ElicitationResult
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts.base import Prompt
from mcp.server.mcpserver.resolve import Elicit, Resolve, Sample
from mcp.shared.exceptions import MCPError
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    CreateMessageResult,
    EmbeddedResource,
    ImageContent,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel, Field

RED_PIXEL_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
SILENCE_WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
STEP_S = 0.05
"""Between two notifications; the scenarios ask for about this much."""

Content = list[TextContent | ImageContent | AudioContent | EmbeddedResource]


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def _resource(uri: str, mime_type: str, text: str) -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


CONTENTS: dict[str, Content] = {
    "test_simple_text": [_text("This is a simple text response for testing.")],
    "test_image_content": [ImageContent(type="image", data=RED_PIXEL_PNG, mime_type="image/png")],
    "test_audio_content": [AudioContent(type="audio", data=SILENCE_WAV, mime_type="audio/wav")],
    "test_embedded_resource": [
        _resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    ],
    "test_multiple_content_types": [
        _text("Multiple content types test:"),
        ImageContent(type="image", data=RED_PIXEL_PNG, mime_type="image/png"),
        _resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ],
}

KEYWORDS_2020_12: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
"""Every keyword that a list of tools must carry unharmed."""


class Defaults(BaseModel):
    """A form with a default of every primitive type (SEP-1034)."""

    name: str = Field(default="John Doe")
    age: int = Field(default=30)
    score: float = Field(default=95.5)
    status: str = Field(default="active", json_schema_extra={"enum": ["active", "inactive", "pending"]})
    verified: bool = Field(default=True)


def _titled(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"const": const, "title": title} for const, title in pairs]


class Enums(BaseModel):
    """A form with every way to write an enum (SEP-1330)."""

    untitledSingle: str = Field(json_schema_extra={"enum": ["option1", "option2", "option3"]})
    titledSingle: str = Field(
        json_schema_extra={"oneOf": _titled(("value1", "First"), ("value2", "Second"), ("value3", "Third"))}
    )
    legacyEnum: str = Field(json_schema_extra={"enum": ["opt1", "opt2", "opt3"], "enumNames": ["One", "Two", "Three"]})
    untitledMulti: list[str] = Field(
        json_schema_extra={"items": {"type": "string", "enum": ["option1", "option2", "option3"]}}
    )
    titledMulti: list[str] = Field(
        json_schema_extra={"items": {"anyOf": _titled(("value1", "First"), ("value2", "Second"), ("value3", "Third"))}}
    )


class Reply(BaseModel):
    """A form with one line to fill in."""

    response: str = Field(description="User's response")


async def logging(ctx: Context) -> str:
    """Say three times over what is going on."""
    for line in ("Tool execution started", "Tool processing data"):
        await ctx.info(line)
        await asyncio.sleep(STEP_S)
    await ctx.info("Tool execution completed")
    return "logged three lines"


async def progress(ctx: Context) -> str:
    """Report 0, 50 and 100 of 100."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"Completed step {done} of 100")
        await asyncio.sleep(STEP_S)
    return "reported three times"


# What is asked of the client is asked by resolvers: the SDK then sends it as the era of the client wants it, in
# mid-call, or as a result that needs input.


async def _said(prompt: str) -> Sample:
    return Sample([SamplingMessage(role="user", content=_text(prompt))], max_tokens=100)


async def sampling(prompt: str, result: Annotated[CreateMessageResult, Resolve(_said)]) -> str:
    """Let the client's model answer."""
    return f"LLM response: {result.content.text if isinstance(result.content, TextContent) else result.content}"


async def _reply(message: str) -> Elicit[Reply]:
    return Elicit(message, Reply)


async def _defaults() -> Elicit[Defaults]:
    return Elicit("Please look through the defaults", Defaults)


async def _enums() -> Elicit[Enums]:
    return Elicit("Please choose", Enums)


def _completed(result: ElicitationResult[Any]) -> str:
    content = result.data.model_dump_json() if isinstance(result, AcceptedElicitation) else "{}"
    return f"Elicitation completed: action={result.action}, content={content}"


async def elicitation(message: str, result: Annotated[ElicitationResult[Reply], Resolve(_reply)]) -> str:
    """Ask the user one thing."""
    return _completed(result)


async def elicitation_defaults(result: Annotated[ElicitationResult[Defaults], Resolve(_defaults)]) -> str:
    """Ask with defaults."""
    return _completed(result)


async def elicitation_enums(result: Annotated[ElicitationResult[Enums], Resolve(_enums)]) -> str:
    """Ask for choices."""
    return _completed(result)


async def reconnection(ctx: Context) -> str:
    """Close the stream in the middle of the call; the rest waits for the client to come back (SEP-1699)."""
    await ctx.info("before the stream closes")
    await ctx.close_sse_stream()
    await asyncio.sleep(4 * STEP_S)
    await ctx.info("after the client came back")
    return "said on the second stream"


def error_handling() -> str:
    """Fail, on purpose."""
    raise RuntimeError("This tool intentionally returns an error for testing")


async def missing_capability(ctx: Context) -> str:
    """Need a client that can sample; anything else is a JSON-RPC error, not an error of the tool."""
    capabilities = ctx.client_capabilities
    if capabilities is None or capabilities.sampling is None:
        raise MCPError(
            code=MISSING_REQUIRED_CLIENT_CAPABILITY,
            message="the client did not declare `sampling`",
            data={"requiredCapabilities": {"sampling": {}}},
        )
    return "sampling is declared"


Region = Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]


def mirrored(region: Region = "none") -> str:
    """Take an argument that modern clients repeat in the `Mcp-Param-Region` header (SEP-2243)."""
    return f"region={region}"


def passing() -> str:
    """Come and go."""
    return "here for a moment"


async def change(what: Literal["tool", "prompt"], ctx: Context) -> str:
    """Add and remove something, and tell those who listen."""
    server = ctx.mcp_server
    if what == "tool":
        server.add_tool(passing, name="passing_tool")
        server.remove_tool("passing_tool")
        await ctx.notify_tools_changed()
    else:
        server.add_prompt(Prompt.from_function(passing, name="passing_prompt"))
        server.remove_prompt("passing_prompt")
        await ctx.notify_prompts_changed()
    return f"{what} list changed"


async def change_tools(ctx: Context) -> str:
    """Change the list of tools."""
    return await change("tool", ctx)


async def change_prompts(ctx: Context) -> str:
    """Change the list of prompts."""
    return await change("prompt", ctx)


FUNCTIONS = {
    "test_tool_with_logging": logging,
    "test_tool_with_progress": progress,
    "test_sampling": sampling,
    "test_elicitation": elicitation,
    "test_elicitation_sep1034_defaults": elicitation_defaults,
    "test_elicitation_sep1330_enums": elicitation_enums,
    "test_reconnection": reconnection,
    "test_error_handling": error_handling,
    "test_missing_capability": missing_capability,
    "test_x_mcp_header": mirrored,
    "test_trigger_tool_change": change_tools,
    "test_trigger_prompt_change": change_prompts,
    "json_schema_2020_12_tool": passing,
}


def _giving(content: Content):  # type: ignore[no-untyped-def]
    def give() -> Any:
        return content

    return give


def add_to(server: MCPServer) -> None:
    """Register every tool of this file."""
    for name, content in CONTENTS.items():
        server.add_tool(_giving(content), name=name, description=f"Gives {name}", structured_output=False)
    for name, function in FUNCTIONS.items():
        server.add_tool(function, name=name, structured_output=False)
    # The SDK derives a schema from the signature and has no public way to state one.
    server._tool_manager._tools["json_schema_2020_12_tool"].parameters = KEYWORDS_2020_12

"""Resources, prompts, completion, and the legacy era's log level and subscriptions."""

import base64
import json

import tools
from mcp.server import ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp_types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    PromptReference,
    ResourceTemplateReference,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)


def static_text() -> str:
    """A text."""
    return "This is the content of the static text resource."


def static_binary() -> bytes:
    """A picture."""
    return base64.b64decode(tools.RED_PIXEL_PNG)


def from_template(id: str) -> str:  # noqa: A002  (the template's own name)
    """A resource for every id."""
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


def watched() -> str:
    """A resource to subscribe to."""
    return "Watched resource content"


def simple() -> list[UserMessage]:
    """A prompt without arguments."""
    return [UserMessage(content=TextContent(type="text", text="This is a simple prompt for testing."))]


def with_arguments(arg1: str, arg2: str) -> list[UserMessage]:
    """A prompt with two arguments."""
    text = f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"
    return [UserMessage(content=TextContent(type="text", text=text))]


def with_resource(resourceUri: str) -> list[UserMessage]:
    """A prompt that carries a resource."""
    contents = TextResourceContents(
        uri=resourceUri, mime_type="text/plain", text="Embedded resource content for testing."
    )
    return [
        UserMessage(content=EmbeddedResource(type="resource", resource=contents)),
        UserMessage(content=TextContent(type="text", text="Please process the embedded resource above.")),
    ]


def with_image() -> list[UserMessage]:
    """A prompt that carries a picture."""
    return [
        UserMessage(content=ImageContent(type="image", data=tools.RED_PIXEL_PNG, mime_type="image/png")),
        UserMessage(content=TextContent(type="text", text="Please analyze the image above.")),
    ]


async def complete(
    ref: PromptReference | ResourceTemplateReference, argument: CompletionArgument, context: CompletionContext | None
) -> Completion:
    """Complete from a short list."""
    words = [word for word in ("paris", "park", "party") if word.startswith(argument.value)]
    return Completion(values=words, total=len(words), has_more=False)


async def accept(
    ctx: ServerRequestContext, params: SetLevelRequestParams | SubscribeRequestParams | UnsubscribeRequestParams
) -> EmptyResult:
    """Say yes; the scenarios look at the answer alone."""
    return EmptyResult()


def add_to(server: MCPServer) -> None:
    """Register everything of this file."""
    server.resource("test://static-text", mime_type="text/plain")(static_text)
    server.resource("test://static-binary", mime_type="image/png")(static_binary)
    server.resource("test://template/{id}/data", mime_type="application/json")(from_template)
    server.resource("test://watched-resource", mime_type="text/plain")(watched)
    server.prompt(name="test_simple_prompt")(simple)
    server.prompt(name="test_prompt_with_arguments")(with_arguments)
    server.prompt(name="test_prompt_with_embedded_resource")(with_resource)
    server.prompt(name="test_prompt_with_image")(with_image)
    server.completion()(complete)
    # MCPServer has no public way to serve these three methods of the legacy era.
    low = server._lowlevel_server
    low.add_request_handler("logging/setLevel", SetLevelRequestParams, accept)
    low.add_request_handler("resources/subscribe", SubscribeRequestParams, accept)
    low.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, accept)

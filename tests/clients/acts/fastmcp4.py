"""FastMCP 4: its own client around the Python SDK."""

import asyncio
from typing import Any

import mcp_types as types
from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from stage import CHANGE, MODE, SUBJECT, TOKEN, URL, cancelled, perform, report, text_of


class Play:
    """One client and what it was told unasked."""

    def __init__(self) -> None:
        self.updated = asyncio.Event()
        self.client: Client[Any]

    async def elicit(self, _message: str, _type: Any, _params: Any, _context: Any) -> Any:
        return ElicitResult(action="accept", content={"name": "Ada"})

    async def sample(self, _messages: Any, _params: Any, _context: Any) -> str:
        return "Paris"

    async def hear(self, message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            self.updated.set()

    async def call(self, name: str, arguments: dict[str, Any]) -> Any:
        return await self.client.call_tool(name, arguments, raise_on_error=False)

    async def list(self) -> tuple[bool, str]:
        names = [tool.name for tool in await self.client.list_tools()]
        return "echo" in names, " ".join(names)

    async def plain(self) -> tuple[bool, str]:
        said = text_of(await self.call("echo", {"message": "hi"}))
        return "hi" in said, said

    async def progress(self) -> tuple[bool, str]:
        steps: list[float] = []

        async def on_progress(progress: float, _total: float | None, _message: str | None) -> None:
            steps.append(progress)

        arguments = {"steps": 3, "delay_s": 0.05}
        said = text_of(await self.client.call_tool("progress", arguments, progress_handler=on_progress))
        return steps == [1, 2, 3] and "3 steps" in said, f"{steps} {said}"

    async def error(self) -> tuple[bool, str]:
        result = await self.call("fail", {"message": "on purpose"})
        return result.is_error and "on purpose" in text_of(result), text_of(result)

    async def elicitation(self) -> tuple[bool, str]:
        said = text_of(await self.call("ask", {"question": "Who?"}))
        return "Ada" in said, said

    async def sampling(self) -> tuple[bool, str]:
        said = text_of(await self.call("sample", {"prompt": "Capital?"}))
        return "Paris" in said, said

    async def subscription(self) -> tuple[bool, str]:
        session = self.client.session
        if str(self.client.protocol_version).startswith("2026"):
            from mcp.client.subscriptions import listen

            async with listen(session, resource_subscriptions=[SUBJECT]) as subscription:
                await self.call(CHANGE, {})
                event = await anext(aiter(subscription))
                return type(event).__name__ == "ResourceUpdated", repr(event)
        await session.subscribe_resource(SUBJECT)
        await self.call(CHANGE, {})
        await self.updated.wait()
        await session.unsubscribe_resource(SUBJECT)
        return True, "updated"

    async def cancellation(self) -> tuple[bool, str]:
        return await cancelled(self.call, f"fastmcp4-{MODE}-{id(self)}")

    def acts(self) -> dict[str, Any]:
        return {
            "list": self.list, "call": self.plain, "progress": self.progress, "error": self.error,
            "elicitation": self.elicitation, "sampling": self.sampling, "subscription": self.subscription,
            "cancellation": self.cancellation,
        }  # fmt: skip


async def main() -> None:
    play = Play()
    async with Client(
        URL,
        auth=TOKEN,
        mode=MODE,
        timeout=30,
        elicitation_handler=play.elicit,
        sampling_handler=play.sample,
        message_handler=play.hear,
    ) as client:
        play.client = client
        report(await perform(play.acts()), str(client.protocol_version))


asyncio.run(main())

"""Python SDK 1.30, in an environment of its own."""

import asyncio
from typing import Any

from mcp import ClientSession, types
from mcp.client.streamable_http import streamablehttp_client
from pydantic import AnyUrl
from stage import CHANGE, HEADERS, SUBJECT, URL, perform, report, text_of, witness


class Play:
    """One client and what it was told unasked."""

    def __init__(self) -> None:
        self.updated = asyncio.Event()
        self.session: ClientSession

    async def elicit(self, _context: Any, _params: Any) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"name": "Ada"})

    async def sample(self, _context: Any, _params: Any) -> types.CreateMessageResult:
        content = types.TextContent(type="text", text="Paris")
        return types.CreateMessageResult(role="assistant", model="test", content=content)

    async def hear(self, message: Any) -> None:
        if isinstance(message, types.ServerNotification) and isinstance(
            message.root, types.ResourceUpdatedNotification
        ):
            self.updated.set()

    async def call(self, name: str, arguments: dict[str, Any]) -> Any:
        return await self.session.call_tool(name, arguments)

    async def list(self) -> tuple[bool, str]:
        names = [tool.name for tool in (await self.session.list_tools()).tools]
        return "echo" in names, " ".join(names)

    async def plain(self) -> tuple[bool, str]:
        said = text_of(await self.call("echo", {"message": "hi"}))
        return "hi" in said, said

    async def progress(self) -> tuple[bool, str]:
        steps: list[float] = []

        async def on_progress(progress: float, _total: float | None, _message: str | None) -> None:
            steps.append(progress)

        arguments = {"steps": 3, "delay_s": 0.05}
        said = text_of(await self.session.call_tool("progress", arguments, progress_callback=on_progress))
        return steps == [1, 2, 3] and "3 steps" in said, f"{steps} {said}"

    async def error(self) -> tuple[bool, str]:
        result = await self.call("fail", {"message": "on purpose"})
        return bool(result.isError) and "on purpose" in text_of(result), text_of(result)

    async def elicitation(self) -> tuple[bool, str]:
        said = text_of(await self.call("ask", {"question": "Who?"}))
        return "Ada" in said, said

    async def sampling(self) -> tuple[bool, str]:
        said = text_of(await self.call("sample", {"prompt": "Capital?"}))
        return "Paris" in said, said

    async def subscription(self) -> tuple[bool, str]:
        await self.session.subscribe_resource(AnyUrl(SUBJECT))
        await self.call(CHANGE, {})
        await self.updated.wait()
        await self.session.unsubscribe_resource(AnyUrl(SUBJECT))
        return True, "updated"

    async def cancellation(self) -> tuple[bool, str]:
        # This SDK does not tell the server when a task is cancelled: it is told by hand, as its users do.
        tag = f"mcp1-{id(self)}"
        request_id = self.session._request_id
        running = asyncio.ensure_future(self.call("slow", {"seconds": 30, "tag": tag}))
        await asyncio.sleep(0)  # so that it is the one to get that id
        while tag not in await witness(self.call, "started"):
            if running.done():
                return False, f"ended by itself: {running.exception() or text_of(running.result())}"
            await asyncio.sleep(0.05)
        note = types.CancelledNotification(params=types.CancelledNotificationParams(requestId=request_id))
        await self.session.send_notification(types.ClientNotification(note))
        while tag not in await witness(self.call, "cancelled"):
            await asyncio.sleep(0.05)
        running.cancel()
        await asyncio.wait({running})
        return True, "the server heard of it"

    def acts(self) -> dict[str, Any]:
        return {
            "list": self.list, "call": self.plain, "progress": self.progress, "error": self.error,
            "elicitation": self.elicitation, "sampling": self.sampling, "subscription": self.subscription,
            "cancellation": self.cancellation,
        }  # fmt: skip


async def main() -> None:
    play = Play()
    async with streamablehttp_client(URL, headers=HEADERS) as (read, write, _):
        async with ClientSession(
            read, write, elicitation_callback=play.elicit, sampling_callback=play.sample, message_handler=play.hear
        ) as session:
            play.session = session
            began = await session.initialize()
            report(await perform(play.acts()), str(began.protocolVersion))


asyncio.run(main())

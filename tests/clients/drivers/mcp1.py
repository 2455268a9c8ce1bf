"""Python SDK 1.30, in an environment of its own."""

import asyncio
import json
import os

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


async def main() -> None:
    headers = {"Authorization": f"Bearer {os.environ['MCP_TOKEN']}"}
    async with streamablehttp_client(os.environ["MCP_URL"], headers=headers) as (read, write, _):
        async with ClientSession(read, write) as session:
            began = await session.initialize()
            tools = await session.list_tools()
            called = await session.call_tool(os.environ["MCP_TOOL"], json.loads(os.environ["MCP_ARGUMENTS"]))
            print(
                json.dumps(
                    {
                        "tools": [tool.name for tool in tools.tools],
                        "text": called.content[0].text,
                        "version": began.protocolVersion,
                    }
                )
            )


asyncio.run(main())

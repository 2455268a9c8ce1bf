"""Python SDK 2.x. `MCP_MODE`: auto, legacy, or a modern revision."""

import asyncio
import json
import os

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


async def main() -> None:
    headers = {"Authorization": f"Bearer {os.environ['MCP_TOKEN']}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        transport = streamable_http_client(os.environ["MCP_URL"], http_client=http)
        async with Client(transport, mode=os.environ["MCP_MODE"]) as client:
            tools = await client.list_tools()
            called = await client.call_tool(os.environ["MCP_TOOL"], json.loads(os.environ["MCP_ARGUMENTS"]))
            print(
                json.dumps(
                    {
                        "tools": [tool.name for tool in tools.tools],
                        "text": called.content[0].text,
                        "version": client.protocol_version,
                    }
                )
            )


asyncio.run(main())

"""FastMCP 4."""

import asyncio
import json
import os

from fastmcp import Client


async def main() -> None:
    async with Client(os.environ["MCP_URL"], auth=os.environ["MCP_TOKEN"]) as client:
        tools = await client.list_tools()
        called = await client.call_tool(os.environ["MCP_TOOL"], json.loads(os.environ["MCP_ARGUMENTS"]))
        print(json.dumps({"tools": [tool.name for tool in tools], "text": called.content[0].text}))


asyncio.run(main())

"""The Inspector's command line: a process for each act, and no way to answer what a server asks.

`MCP_INSPECTOR` is its command as JSON. What it has no option for is told as such.
"""

import asyncio
import json
import os
from typing import Any

from stage import HEADERS, MODE, URL, perform, report

COMMAND: list[str] = json.loads(os.environ["MCP_INSPECTOR"])
CANNOT = (False, "its command line cannot do that")


async def run(*words: str) -> tuple[int, str]:
    command = [*COMMAND, URL, "--transport", "http", "--protocol-era", MODE, *words]
    command += ["--header", f"Authorization: {HEADERS['Authorization']}"]
    program = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        said, _ = await program.communicate()
    finally:
        if program.returncode is None:
            program.kill()
    return program.returncode or 0, said.decode(errors="replace")


async def tool(name: str, *arguments: str) -> tuple[int, str]:
    given = [part for argument in arguments for part in ("--tool-arg", argument)]
    return await run("--method", "tools/call", "--tool-name", name, *given)


async def lists() -> tuple[bool, str]:
    code, said = await run("--method", "tools/list")
    return code == 0 and '"echo"' in said, said


async def plain() -> tuple[bool, str]:
    code, said = await tool("echo", "message=hi")
    return code == 0 and "hi" in said, said


async def error() -> tuple[bool, str]:
    _, said = await tool("fail", "message=on purpose")
    return "on purpose" in said, said


async def no() -> tuple[bool, str]:
    return CANNOT


async def main() -> None:
    acts: dict[str, Any] = {"list": lists, "call": plain, "progress": no, "error": error}
    acts |= dict.fromkeys(("elicitation", "sampling", "subscription", "cancellation"), no)
    report(await perform(acts), MODE)


asyncio.run(main())

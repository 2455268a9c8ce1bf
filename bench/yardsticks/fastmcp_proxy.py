"""FastMCP's proxy: `python -m bench.yardsticks.fastmcp_proxy --port P --upstream URL [--reuse]`."""

import argparse
import asyncio
import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.rig.meter import Meter
from bench.rig.process import free_port, running
from bench.rounds import Target


def missing() -> str:
    """Why there is no such yardstick here, or an empty string."""
    return "" if importlib.util.find_spec("fastmcp") else "fastmcp is not installed"


@contextlib.contextmanager
def start(upstream: int, folder: Path, *, reuse: bool) -> Iterator[Target]:
    """The proxy before the server on port `upstream`; `reuse`: with one connected client instead of one a call."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    name = "FastMCP proxy, one client" if reuse else "FastMCP proxy, as it comes"
    command = [sys.executable, "-m", __name__, "--port", str(port), "--upstream", f"http://127.0.0.1:{upstream}/mcp"]
    with running([*command, "--reuse"] if reuse else command, port, folder / f"fastmcp-{reuse}.log") as program:
        yield Target(name, port, "/mcp", meter=Meter.of(program.pid), is_slow=True)


async def _serve(port: int, upstream: str, *, reuse: bool) -> None:
    from fastmcp import Client
    from fastmcp.server import create_proxy

    async with contextlib.AsyncExitStack() as stack:
        target = await stack.enter_async_context(Client(upstream)) if reuse else upstream
        proxy = create_proxy(target, name="proxy")
        await proxy.run_http_async(host="127.0.0.1", port=port, path="/mcp", log_level="error", show_banner=False)


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--reuse", action="store_true")
    options = parser.parse_args()
    asyncio.run(_serve(options.port, options.upstream, reuse=options.reuse))


if __name__ == "__main__":
    main()

"""A way to a server that can be made slow, and that can speak TLS for a server that cannot."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable


class Proxy:
    """Runs in a thread of its own between `start` and `close`. `delay_s` may be changed at any time."""

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.port = 0
        self._to = port
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Listen; `port` says where."""
        self._thread.start()
        self._ready.wait()

    def close(self) -> None:
        """End everything."""
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._meet, "127.0.0.1", 0, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        server.close()
        here = asyncio.current_task()
        rest = [task for task in asyncio.all_tasks() if task is not here]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
            await asyncio.gather(
                self._carry(reader, back, lambda: 0.0), self._carry(there, writer, lambda: self.delay_s)
            )

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: Callable[[], float]
    ) -> None:
        try:
            while data := await reader.read(65536):
                if wait_s := delay_s():
                    await asyncio.sleep(wait_s)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

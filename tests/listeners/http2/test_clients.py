"""Clients of others over HTTP/2: requests, streams, cancelling, and a drain in the middle."""

import asyncio
import json
import shutil
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from mantlet.core.call import Arrival, Reply

NODE = shutil.which("node", path=str(Path(sys.executable).parent))
CURL = shutil.which("curl")


class Events:
    """An endless event stream, and whether it was ended."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def __call__(self) -> AsyncIterator[bytes]:
        try:
            for number in range(3):
                yield b"data: %d\n\n" % number
            await asyncio.Event().wait()
        finally:
            self.ended.set()


async def handler_of(events: Events, arrival: Arrival) -> Reply:
    if arrival.path == "/events":
        return Reply(200, [(b"content-type", b"text/event-stream")], events())
    return Reply(200, [(b"content-type", b"application/json")], b'{"got": %d}' % len(await arrival.read()))


async def test_httpx(serve2, pair) -> None:
    events = Events()
    house = await serve2(lambda arrival: handler_of(events, arrival))
    url = f"https://localhost:{house.listener.port}"
    async with httpx2.AsyncClient(http2=True, verify=ssl.create_default_context(cafile=pair["ca"])) as client:
        answers = await asyncio.gather(*(client.post(f"{url}/a", content=b"x" * 100_000) for _ in range(20)))
        assert [answer.json() for answer in answers] == [{"got": 100_000}] * 20
        assert {answer.http_version for answer in answers} == {"HTTP/2"}
        assert len(house.listener.connections()) == 1
        async with client.stream("GET", f"{url}/events") as response:
            async for line in response.aiter_lines():
                if line == "data: 2":
                    break
        assert (await client.post(url, content=b"xy")).json() == {"got": 2}
    # It leaves a stream without a word (no RST_STREAM), so its work ends with the connection.
    async with asyncio.timeout(5):
        await events.ended.wait()
    assert house.errors == []


SCRIPT = """
const http2 = require('http2'), fs = require('fs')
const client = http2.connect(process.argv[2], {ca: fs.readFileSync(process.argv[3])})
client.on('error', e => { console.error(e); process.exit(1) })
const post = size => new Promise((done, fail) => {
  const stream = client.request({':method': 'POST', ':path': '/a'})
  let text = '', status
  stream.on('response', head => status = head[':status'])
  stream.on('data', part => text += part).on('end', () => done([status, JSON.parse(text).got])).on('error', fail)
  stream.end(Buffer.alloc(size))
})
const listen = () => new Promise((done, fail) => {
  const stream = client.request({':path': '/events'})
  let text = ''
  stream.on('data', part => {
    text += part
    if (text.includes('data: 2')) stream.close(http2.constants.NGHTTP2_CANCEL)
  })
  stream.on('close', () => done(text)).on('error', fail)
})
;(async () => {
  const answers = await Promise.all([0, 1, 70000, 300000].map(post))
  const heard = await listen()
  console.log(JSON.stringify({answers, heard, after: await post(2)}))
  client.close()
})()
"""


@pytest.mark.skipif(NODE is None, reason="no node here")
async def test_node(serve2, pair, tmp_path: Path) -> None:
    events = Events()
    house = await serve2(lambda arrival: handler_of(events, arrival))
    (tmp_path / "client.js").write_text(SCRIPT)
    process = await asyncio.create_subprocess_exec(
        str(NODE), str(tmp_path / "client.js"), f"https://localhost:{house.listener.port}", pair["ca"],
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(20):
        out, _ = await process.communicate()
    assert process.returncode == 0
    said = json.loads(out)
    assert said["answers"] == [[200, 0], [200, 1], [200, 70_000], [200, 300_000]]
    assert said["heard"] == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert said["after"] == [200, 2]
    assert events.ended.is_set()
    assert house.errors == []


@pytest.mark.skipif(CURL is None, reason="no curl here")
async def test_curl(serve2, pair) -> None:
    house = await serve2(lambda arrival: handler_of(Events(), arrival))
    process = await asyncio.create_subprocess_exec(
        str(CURL), "-sS", "--http2", "--cacert", pair["ca"], "-w", " %{http_code}", "--data-binary", "@" + pair["ca"],
        f"https://localhost:{house.listener.port}/a", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(20):
        out, _ = await process.communicate()
    assert out == b'{"got": %d} 200' % Path(pair["ca"]).stat().st_size

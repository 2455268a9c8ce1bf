"""Processes that share a state and a post, closed at the end of a test."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.upstreams.bridge.to_modern.support import Client, FakePost, FakeState, Modern, process

from mantlet.upstreams.bridge.to_modern import ToModern


class Node:
    """A server, and processes before it."""

    def __init__(self) -> None:
        self.server = Modern()
        self.state = FakeState()
        self.houses: dict[str, FakePost] = {}
        self.processes: list[ToModern] = []
        self.errors: list[BaseException] = []

    def process(self, **config: Any) -> ToModern:
        post = FakePost(self.houses, f"house{len(self.processes)}")
        made = process(self.server, self.state, post, errors=self.errors, **config)
        self.processes.append(made)
        return made

    async def client(self, *doors: ToModern, version: str = "2025-11-25", **more: Any) -> Client:
        client = Client(*(doors or (self.process(),)), **more)
        await client.open(version)
        return client

    def nothing_left(self) -> bool:
        counts = [made.counts() for made in self.processes]
        return all(not sum(count.values()) for count in counts)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    made = Node()
    yield made
    for one in made.processes:
        await one.close()
    assert made.errors == []

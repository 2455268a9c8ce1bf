"""The stores outside the process that every suite here runs over."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
from tests.stores.servers import Store

from mantlet.stores.valkey.client import Client
from mantlet.stores.valkey.opening import make_client

OUTSIDE: Final = ("valkey", "tls", "redis", "sentinel", "cluster")
"""By the fixtures that start them: one server, one with TLS and a user, another make, and those that are several."""


def store_named(request: pytest.FixtureRequest, name: str) -> Store:
    """Started when it is asked for the first time."""
    if name == "valkey":
        return Store(request.getfixturevalue("valkey_url"))
    store: Store = request.getfixturevalue(f"{name}_store")
    return store


@asynccontextmanager
async def connected(store: Store) -> AsyncIterator[Client]:
    """A client of it, patient with a busy machine."""
    client = make_client(store.url, store.access, chance=random.random, on_error=fail, timeout_s=5.0)
    assert await client.start(30.0), client.why
    try:
        yield client
    finally:
        await client.close()


def fail(error: BaseException) -> None:
    """Nothing is to go wrong behind a test's back."""
    raise error

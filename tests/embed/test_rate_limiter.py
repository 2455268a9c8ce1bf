"""The limiter as a program has it. What it does within is proved in tests/contracts and tests/stores."""

import asyncio
import secrets
from contextlib import suppress
from pathlib import Path

import pytest
from tests.stores.servers import Servers

from mantlet.core.refusal import StoreUnavailable
from mantlet.embed import Access, RateLimiter
from mantlet.stores.failover import OnFailure
from mantlet.stores.memory import MemoryLimits


async def test_a_refusal_in_one_window_spends_nothing_in_the_other() -> None:
    """RATE-01"""
    limiter = RateLimiter(client_max_requests=2, global_max_requests=3)
    assert [(await limiter.check_rate_limit("alice"))[0] for _ in range(5)] == [True, True, False, False, False]
    allowed, info = await limiter.check_rate_limit("bob")
    assert (allowed, info["limit"], info["remaining"], info["global_limit_hit"]) == (True, 2, 1, False)
    allowed, info = await limiter.check_rate_limit("bob")
    assert (allowed, info["limit"], info["global_limit_hit"]) == (False, 3, True)
    assert info["retry_after"] >= 1
    assert (await limiter.get_client_status("bob"))["remaining"] == 1
    assert await limiter.reset_client_limit("alice")
    assert not await limiter.reset_client_limit("nobody")


async def test_limiters_of_one_store_count_by_their_names(valkey_url: str) -> None:
    """RATE-03: a tool's own limiter is no other look at the window of all tools."""
    alice, name = secrets.token_hex(8), secrets.token_hex(8)
    async with (
        RateLimiter(valkey_url, client_max_requests=3, name=name) as every,
        RateLimiter(valkey_url, client_max_requests=3, name=name) as same,
        RateLimiter(valkey_url, client_max_requests=1, name=f"{name} plan") as plan,
    ):
        assert (await every.check_rate_limit(alice))[0]
        assert (await plan.check_rate_limit(alice))[0]
        assert (await same.check_rate_limit(alice))[1]["remaining"] == 1
        assert not (await plan.check_rate_limit(alice))[0]
        await plan.reset_client_limit(alice)
        assert (await every.get_client_status(alice))["remaining"] == 1
        assert {every.state, RateLimiter().state} == {"shared", "local"}


async def test_what_names_hold_is_never_anothers_window() -> None:
    """RATE-02: as keys are tuples, no name of a limiter or client can be made to look like another's."""
    store = MemoryLimits(RateLimiter()._clock)
    pairs = [("a", "b:c"), ("a:b", "c"), ("a/b", "c"), ("a", "b/c")]
    for name, client in pairs:
        limiter = RateLimiter(store, client_max_requests=1, name=name)
        assert (await limiter.check_rate_limit(client))[0], (name, client)


@pytest.mark.parametrize(("mode", "admitted"), [("local_share", 2), ("open", 6), ("closed", None)])
async def test_a_store_that_is_gone_is_met_as_was_said(
    servers: Servers, tmp_path: Path, mode: OnFailure, admitted: int | None
) -> None:
    """RATE-05"""
    port, file = servers.start("--requirepass", "pass"), tmp_path / "password"
    file.write_text("pass\n")
    async with RateLimiter(
        f"valkey://127.0.0.1:{port}",
        client_max_requests=4,
        sharers=2,
        on_store_failure=mode,
        access=Access(password_file=str(file)),
    ) as limiter:
        assert (await limiter.check_rate_limit("someone else"))[0]
        assert limiter.state == "shared"
        servers.kill(port)
        async with asyncio.timeout(10):
            while limiter.state == "shared":
                await asyncio.sleep(0.01)
                with suppress(StoreUnavailable):
                    await limiter.check_rate_limit("x")
        if admitted is None:
            with pytest.raises(StoreUnavailable):
                await limiter.check_rate_limit("alice")
        else:
            taken = [(await limiter.check_rate_limit("alice"))[0] for _ in range(6)]
            assert taken.count(True) == admitted

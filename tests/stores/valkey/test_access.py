"""Who is let in where: TLS, users, passwords that change while the node runs (TLS-04, RATE-05)."""

import random
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.stores.authority import Authority
from tests.stores.proxy import Proxy
from tests.stores.servers import ACL, PASSWORD, Servers, Store, say
from tests.waiting import until

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Charge
from mantlet.core.secret import Secret
from mantlet.stores.config import StoreConfig
from mantlet.stores.failover import FailoverLimits
from mantlet.stores.limits import open_limits
from mantlet.stores.valkey.access import Access, StoreTls
from mantlet.stores.valkey.client import ValkeyClient

CHARGE = Charge(("a",), 30, 60)


def fail(error: BaseException) -> None:
    raise error


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path / "servers")
    yield servers
    servers.close()


@asynccontextmanager
async def tried(url: str, access: Access) -> AsyncIterator[ValkeyClient]:
    client = ValkeyClient(url, access=access, chance=random.random, on_error=fail, timeout_s=5.0)
    await client.start()
    yield client
    await client.close()


async def test_a_certificate_of_nobody_we_know_is_refused(tls_store: Store) -> None:
    """TLS-04"""
    trusting_all = replace(tls_store.access, tls=StoreTls())
    async with tried(tls_store.url, trusting_all) as client:
        assert not client.is_ready
        assert "certificate verify failed" in client.why


async def test_a_certificate_for_another_name_is_refused(tls_store: Store, authority: Authority) -> None:
    """TLS-04: the address that was asked for, or the name that the configuration says all servers have."""
    named = replace(tls_store.access, tls=StoreTls(ca_file=authority.ca_file, server_name="store.internal"))
    async with tried(tls_store.url, named) as client:
        assert not client.is_ready
        assert "store.internal" in client.why


async def test_servers_found_by_address_may_all_have_one_name(own: Servers, authority: Authority) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("named", hosts=("store.internal",)))
    proxy = Proxy(own.start(), tls=context)
    proxy.start()
    tls = StoreTls(ca_file=authority.ca_file, server_name="store.internal")
    async with tried(f"valkeys://127.0.0.1:{proxy.port}", Access(tls=tls)) as client:
        assert client.is_ready
    async with tried(f"valkeys://127.0.0.1:{proxy.port}", Access(tls=StoreTls(ca_file=authority.ca_file))) as client:
        assert not client.is_ready
    proxy.close()


async def test_without_our_certificate_a_server_that_asks_for_it_lets_nobody_in(
    tls_store: Store, authority: Authority
) -> None:
    nameless = replace(tls_store.access, tls=StoreTls(ca_file=authority.ca_file))
    async with tried(tls_store.url, nameless) as client:
        assert not client.is_ready


async def test_certificate_files_that_are_not_there_just_now_are_no_crash(tls_store: Store, tmp_path: Path) -> None:
    async with tried(tls_store.url, replace(tls_store.access, tls=StoreTls(ca_file=str(tmp_path / "no")))) as client:
        assert "store TLS files" in client.why


async def test_a_plain_client_is_not_understood_by_tls_and_the_other_way_round(own: Servers, tls_store: Store) -> None:
    async with tried(tls_store.url.replace("valkeys", "valkey"), tls_store.access) as client:
        assert not client.is_ready
    async with tried(f"valkeys://127.0.0.1:{own.start()}", Access()) as client:
        assert not client.is_ready


async def test_a_password_that_changes_in_its_file_is_taken_over(own: Servers, tmp_path: Path) -> None:
    """The next log-in reads it; what is connected stays so."""
    port = own.start("--requirepass", "first")
    file = tmp_path / "password"
    file.write_text("first\n")
    async with tried(f"valkey://127.0.0.1:{port}", Access(password_file=str(file))) as client:
        assert client.is_ready
        say(port, "CONFIG", "SET", "requirepass", "second", login=("first",))
        assert await client.call("PING") == b"PONG"
        say(port, "CLIENT", "KILL", "TYPE", "normal", login=("second",))
        await until(lambda: "log-in refused: WRONGPASS" in client.why)
        assert "first" not in client.why
        file.unlink()
        await until(lambda: "store password file: FileNotFoundError" in client.why)
        file.write_text("second")
        await until(lambda: client.is_ready)
        assert client.epoch == 2


async def test_with_a_wrong_password_limits_go_on_by_share_and_come_back_by_themselves(own: Servers) -> None:
    """RATE-05: no crash, told once, and no second quota when the password is mended."""
    port = own.start("--requirepass", "other")
    changes: list[tuple[str, str]] = []
    async with open_limits(
        f"valkey://127.0.0.1:{port}",
        Access(password=Secret("wr0ng")),
        clock=SYSTEM,
        chance=random.random,
        on_error=fail,
        sharers=2,
        on_change=lambda state, why: changes.append((state, why)),
    ) as limits:
        assert isinstance(limits, FailoverLimits)
        admitted = sum([(await limits.take([CHARGE])).allowed for _ in range(40)])
        assert admitted == 15
        assert [state for state, _ in changes] == ["degraded"]
        assert "WRONGPASS" in changes[0][1]
        assert "wr0ng" not in changes[0][1]
        say(port, "CONFIG", "SET", "requirepass", "wr0ng", login=("other",))

        def is_back() -> bool:
            limits.look()
            return limits.state == "recovering"

        await until(is_back)
        admitted += sum([(await limits.take([CHARGE])).allowed for _ in range(40)])
        assert admitted <= 15
        assert [*dict.fromkeys(state for state, _ in changes)] == ["degraded", "recovering"]  # a word for each reason


async def test_a_user_without_rights_is_a_store_that_does_not_serve(own: Servers) -> None:
    port = own.start("--user", "poor", "on", ">pw", "+ping", "+auth")
    changes: list[tuple[str, str]] = []
    async with open_limits(
        f"valkey://poor:pw@127.0.0.1:{port}",
        clock=SYSTEM,
        chance=random.random,
        on_error=fail,
        on_change=lambda state, why: changes.append((state, why)),
    ) as limits:
        assert (await limits.take([CHARGE])).allowed
        assert "NOPERM" in changes[0][1]


def test_the_documented_user_is_the_one_that_is_tested() -> None:
    """Every suite over TLS, over Redis and over a cluster logs in as this one."""
    page = (Path(__file__).parents[3] / "docs" / "stores.md").read_text()
    [line] = [line for line in page.splitlines() if line.startswith("user gate ")]
    assert line.split()[1:] == [word.replace(PASSWORD, "PASSWORD") for word in ACL]


def test_the_url_s_own_login_goes_first() -> None:
    config = StoreConfig(url="valkey://gate:mine@h", user="other", password=Secret("theirs"))
    assert config.access.user == "other"
    assert StoreConfig(url="embedded://", password=Secret("x")).access == Access()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: StoreConfig(password=Secret("x"), rotating_password_file="/x"),
        lambda: StoreTls(cert_file="/x"),
        lambda: StoreTls(key_file="/x"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"give one of them|go together"):
        wrong()

"""What suites of several rooms run over: real stores, one of each a session."""

import ssl
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from tests.stores.authority import Authority
from tests.stores.postgres import PostgresServer, running_postgres
from tests.stores.proxy import Proxy
from tests.stores.servers import ACL, PASSWORD, REDIS, Servers, Store, start_cluster, start_sentinels

from mantlet.core.secret import Secret
from mantlet.stores.valkey.access import Access, StoreTls

# How long making an example takes is the machine's affair, and it has others to serve: no test asserts on time.
settings.register_profile("mantlet", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mantlet")


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Where the session's stores are started."""
    servers = Servers(tmp_path_factory.mktemp("servers"))
    yield servers
    servers.close()


@pytest.fixture(scope="session")
def valkey_url(servers: Servers) -> str:
    """One server for the session; each test has names of its own there."""
    return f"valkey://127.0.0.1:{servers.start()}"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who certifies servers and clients in this session."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def tls_store(servers: Servers, authority: Authority) -> Iterator[Store]:
    """Valkey with a user of few rights, behind TLS that asks for our certificate."""
    port = servers.start("--user", *ACL, "--user", "default", "off")
    certificate, key = authority.issue("server")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.ca_file)
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    proxy = Proxy(port, tls=context)
    proxy.start()
    yield Store(f"valkeys://127.0.0.1:{proxy.port}", access_for(authority))
    proxy.close()


@pytest.fixture(scope="session")
def redis_store(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Store]:
    """The machine's own Redis, with TLS and the same user."""
    if REDIS is None:
        pytest.skip("no redis-server on this machine")
    servers = Servers(tmp_path_factory.mktemp("redis"), REDIS)
    certificate, key = authority.issue("redis")
    files = ("--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", authority.ca_file)
    port = servers.start(*files, "--user", *ACL, "--user", "default", "off", tls=True)
    yield Store(f"rediss://127.0.0.1:{port}", access_for(authority))
    servers.close()


@pytest.fixture(scope="session")
def sentinel_store(servers: Servers) -> Store:
    """A master with a replica and three Sentinels."""
    sentinels, _, _ = start_sentinels(servers, password="of-the-servers")
    hosts = ",".join(f"127.0.0.1:{port}" for port in sentinels)
    return Store(f"valkey+sentinel://{hosts}/main", Access(password=Secret("of-the-servers")))


@pytest.fixture(scope="session")
def cluster_store(servers: Servers) -> Store:
    """Three masters with the same user; two of them are named."""
    ports = start_cluster(servers, options=("--user", *ACL))
    url = f"valkey+cluster://127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}"
    return Store(url, Access(user="gate", password=Secret(PASSWORD)))


def access_for(authority: Authority) -> Access:
    """How the user of `ACL` logs in."""
    certificate, key = authority.issue("client")
    tls = StoreTls(ca_file=authority.ca_file, cert_file=certificate, key_file=key)
    return Access(user="gate", password=Secret(PASSWORD), tls=tls)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL; every test makes a database of its own there."""
    with running_postgres() as server:
        yield server

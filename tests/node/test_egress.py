"""EGR-01: what the guard of a node knows, tells and counts, and that nobody goes around it."""

import ast
import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.house import open_house

from mantlet.core.clock import Clock
from mantlet.core.record import Record
from mantlet.core.refusal import AuditUnavailable, EgressDenied
from mantlet.core.tasks import Tasks
from mantlet.events.metrics import Metrics
from mantlet.node.config.load import load
from mantlet.node.config.model import Config
from mantlet.node.egress import RECORD_EVERY_S, Told, destinations, open_egress, open_fetcher
from mantlet.upstreams.egress.rules import Destination, destination

SOURCE = Path(__file__).parents[2] / "src" / "mantlet"

TEXT = """
environment: ENVIRONMENT
agent: {url: "https://me.example"}
http: {cors_origins: ["http://site.example"]}
mcp:
  servers:
    - {name: a, transport: http, url: "https://a.example/mcp", endpoints: [{url: "https://a-1.example:8443/mcp"}]}
    - {name: b, transport: websocket, url: "ws://B.example/ws"}
    - {name: c, transport: tcp, host: 10.1.2.3, port: 9500}
    - {name: d, transport: sse, url: "http://d.example:8080/sse"}
    - {name: e, transport: peer, url: "https://[fd00::1]:8000"}
http_upstreams:
  - {name: f, url: "http://127.0.0.1:7001"}
remote_agents:
  - {name: g, agent_card_url: "https://g.example"}
"""


class Trail:
    """A journal that keeps what it is given, or fails."""

    is_able = True

    def __init__(self, *, fails: bool = False) -> None:
        self.records: list[Record] = []
        self.fails = fails

    def append(self, record: Record, /) -> "asyncio.Future[None]":
        if self.fails:
            raise AuditUnavailable
        self.records.append(record)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


def configured(tmp_path: Path, environment: str = "development", more: str = "") -> Config:
    (tmp_path / "mantlet.yaml").write_text(TEXT.replace("ENVIRONMENT", environment) + more)
    return load([str(tmp_path / "mantlet.yaml")], {}).config


def test_what_the_operator_wrote_as_somewhere_to_go_is_known(tmp_path: Path) -> None:
    assert set(destinations(configured(tmp_path))) == {
        Destination("a.example", 443),
        Destination("a-1.example", 8443),
        Destination("b.example", 80),
        Destination("10.1.2.3", 9500),
        Destination("d.example", 8080),
        Destination("fd00::1", 8000),
        Destination("127.0.0.1", 7001),
        Destination("g.example", 443),
    }


@pytest.mark.parametrize(
    ("more", "host", "port", "is_let"),
    [
        ("", "127.0.0.1", 7001, True),
        ("", "127.0.0.1", 7002, False),
        ("", "10.1.2.3", 9500, True),
        ("egress: {configured: listed}", "127.0.0.1", 7001, False),
        ("egress: {configured: listed, allow: [127.0.0.1]}", "127.0.0.1", 7001, True),
        ("egress: {allow: [10.0.0.0/8]}", "10.9.9.9", 1, True),
        ("egress: {deny: [10.1.0.0/16]}", "10.1.2.3", 9500, False),
    ],
)
async def test_the_section_decides(tmp_path: Path, more: str, host: str, port: int, is_let: bool) -> None:
    guard = open_egress(configured(tmp_path, "production", more), Trail(), Metrics(), Tasks(pytest.fail))
    if is_let:
        assert await guard.resolve(host, port) == (host,)
    else:
        with pytest.raises(EgressDenied):
            await guard.resolve(host, port)


async def test_a_refusal_is_counted_each_time_and_recorded_once_a_while() -> None:
    """AUD-01"""
    now_s, trail, metrics, tasks = 0.0, Trail(), Metrics(), Tasks(pytest.fail)
    told = Told(trail, metrics, tasks, Clock(lambda: now_s, lambda: 1_000.0))
    here = destination("a.example", 443)
    for why in ("private address (10.0.0.1)",) * 3 + ("loopback address (127.0.0.1)",):
        told(here, why)
    now_s = RECORD_EVERY_S
    told(here, "private address (10.0.0.1)")
    await asyncio.sleep(0)
    assert [record.why for record in trail.records] == [
        "private address (10.0.0.1)",
        "loopback address (127.0.0.1)",
        "private address (10.0.0.1)",
    ]
    record = trail.records[0]
    assert (record.event, record.verdict, record.reason) == ("egress.refused", "deny", "egress_denied")
    assert record.trail.object == "a.example:443"
    counted = dict(metrics.snapshot().counters["mantlet_egress_refusals"])
    assert counted == {("private",): 4.0, ("loopback",): 1.0}


async def test_a_trail_that_fails_opens_nothing() -> None:
    tasks = Tasks(pytest.fail)
    Told(Trail(fails=True), Metrics(), tasks)(destination("a.example", 443), "private address")
    await tasks.close()


async def test_only_production_asks_by_https_alone_and_follows_nothing(tmp_path: Path) -> None:
    metrics, tasks = Metrics(), Tasks(pytest.fail)
    config = configured(tmp_path, "production")
    fetch = open_fetcher(config, open_egress(config, Trail(), metrics, tasks))
    with pytest.raises(EgressDenied, match="https"):
        await fetch("GET", "http://127.0.0.1:7001/")
    assert fetch.max_redirects == 0
    config = configured(tmp_path, "development")
    assert open_fetcher(config, open_egress(config, Trail(), metrics, tasks)).max_redirects > 0


async def test_a_call_to_an_address_that_nobody_means_is_refused_and_recorded(tmp_path: Path) -> None:
    """EGR-01, EGR-02, AUD-01: what the configuration names is trusted, but not with a cloud's credentials."""
    servers = [
        {"name": "meta", "transport": "http", "url": "http://169.254.169.254/mcp"},
        {"name": "wrapped", "transport": "http", "url": "http://[64:ff9b::a9fe:a9fe]/mcp"},
    ]
    service = {"name": "plain", "url": "http://[::ffff:169.254.169.254]:80/"}
    async with open_house(tmp_path, servers=0, mcp={"servers": servers}, http_upstreams=[service]) as house:
        for server in ("meta", "wrapped"):
            answer = await house.call(server=server)
            assert (answer.status, answer.json["error"]["data"]["reason"]) == (502, "egress_denied")
            assert b"169.254" not in answer.body
        rules = {"Authorization": f"Bearer {house.keys['root']}"}
        assert (await house.ask("GET", "/api/plain/latest/meta-data", rules)).status == 502
        async with asyncio.timeout(5):
            while len(refused := [one for one in house.audit() if one["event"] == "egress.refused"]) < 3:
                await asyncio.sleep(0.01)
        assert {record["object"] for record in refused} == {
            "169.254.169.254:80",
            "[64:ff9b::a9fe:a9fe]:80",
            "[::ffff:a9fe:a9fe]:80",
        }
        assert {record["reason"] for record in refused} == {"egress_denied"}
        calls = [record for record in house.audit() if record["event"] == "call"]
        assert {record["reason"] for record in calls} == {"egress_denied"}


# --- nobody goes around it -------------------------------------------------------------------------------------------

CONNECTS = {
    "create_connection", "open_connection", "getaddrinfo", "sock_connect", "connect_ex", "gethostbyname", "urlopen",
    "HTTPConnection", "HTTPSConnection", "create_datagram_endpoint", "create_unix_connection", "open_unix_connection",
    "getnameinfo", "gethostbyname_ex", "start_tls", "PyJWKClient", "ClientSession", "AsyncClient",
}  # fmt: skip
"""Names by which Python code reaches the network, whatever the module."""

KNOWN = {
    "upstreams/client/reach.py": "takes the guard's addresses",
    "upstreams/client/client.py": "connects a protocol to the socket of `reach`",
    "upstreams/transports/dialer.py": "the same",
    "upstreams/egress/guard.py": "asks for names, to check what they lead to",
    "upstreams/relayed/upstream.py": "a Unix socket in a folder of the node's own",
    "stores/valkey/client.py": "the store, named by the operator in store.url; no answer of it is ever a destination",
    "stores/valkey/embedded.py": "a child of the node's own, on a Unix socket",
    "ops/demo/tour.py": "the demo calls its own node, as a client would",
    "listeners/http/listener.py": "reads the address to listen on",
    "node/processes/link.py": "a socket pair of its own",
    "keys/secrets/vault.py": "one address that the operator names, at load, before there is a guard; https or loopback",
    "ops/remote/http.py": "the operator's command line, on the operator's machine",
}

GUARDED = {
    "HttpClient", "Dialer", "Fetcher", "HttpServer", "OpenApiServer", "WebSocketConnector", "TcpConnector",
    "SseConnector", "ServiceServer", "open_server", "connect_to",
}  # fmt: skip
"""Whatever opens connections takes the guard; each call in the source must give it."""

NOT_CONNECTING = {("node/check/rehearsal.py", "made to see whether it can be made, and thrown away")}


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    for path in sorted(SOURCE.rglob("*.py")):
        for found in ast.walk(ast.parse(path.read_text())):
            if isinstance(found, ast.Call):
                name = found.func.attr if isinstance(found.func, ast.Attribute) else getattr(found.func, "id", "")
                yield str(path.relative_to(SOURCE)), name, found


def test_every_place_that_can_connect_is_known() -> None:
    """EGR-01: a new one goes through `upstreams.client`, or is entered above with its reason."""
    assert {file for file, name, _ in calls() if name in CONNECTS} == set(KNOWN)


def test_every_client_is_given_the_guard() -> None:
    """EGR-01"""
    spared = {file for file, _ in NOT_CONNECTING}
    without = [
        f"{file}:{call.lineno} {name}"
        for file, name, call in calls()
        if name in GUARDED and file not in spared and "resolve" not in {keyword.arg for keyword in call.keywords}
    ]
    assert without == []


def test_no_client_library_is_imported() -> None:
    """EGR-01: they read proxies out of the environment, follow redirects and resolve names by themselves."""
    libraries = {"httpx", "httpx2", "aiohttp", "requests", "urllib3", "urllib.request", "hvac", "ftplib", "smtplib"}
    for path in sorted(SOURCE.rglob("*.py")):
        for found in ast.walk(ast.parse(path.read_text())):
            names: list[Any] = []
            if isinstance(found, ast.Import):
                names = [alias.name for alias in found.names]
            elif isinstance(found, ast.ImportFrom):
                names = [found.module]
            if "ops" not in path.relative_to(SOURCE).parts:
                assert not libraries & set(names), path

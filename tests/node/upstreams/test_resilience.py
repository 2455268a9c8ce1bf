"""RES-01, RES-02, RES-03: a whole node before servers that fail, over real sockets."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.house import Client, House, call_body, fields_of, open_house
from tests.node.upstreams.failing import WAYS, Failing, node

EAGER = {"max": 3, "budget_percent": 100, "backoff_ms": 1, "max_backoff_ms": 2, "tools": ["echo"]}
QUICK = {"limits": {"list_timeout_ms": 300, "request_timeout_ms": 400}}


async def metrics(house: House) -> str:
    root = {"Authorization": f"Bearer {house.keys['root']}"}
    return (await house.ask("GET", "/metrics", root, door="admin")).body.decode()


async def breaker_of(house: House, server: str = "one") -> Any:
    root = {"Authorization": f"Bearer {house.keys['root']}"}
    upstreams = (await house.ask("GET", "/admin/v1/upstreams", root, door="admin")).json["upstreams"]
    return next(one for one in upstreams if one["name"] == server)["breaker"]


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_that_may_change_something_reaches_the_server_once_in_every_failure(
    tmp_path: Path, way: str
) -> None:
    """RES-03"""
    one = Failing("one", way=way)
    async with node(tmp_path, one, mcp=QUICK, retry=EAGER, hedge={"after_ms": 5}, breaker=None) as house:
        answer = await house.call("exec_not", credential=house.keys["root"])
        assert answer.status in (502, 503, 504), answer.body
        assert len(one.calls) == 1


async def test_what_a_server_will_not_do_is_not_made_again_and_opens_no_breaker(tmp_path: Path) -> None:
    """RES-01, RES-03: what one caller asks for must not take the server from the others."""
    one = Failing("one")
    async with node(tmp_path, one, retry=EAGER, breaker={"failures": 2}) as house:
        for _ in range(2):
            await house.call("echo")  # for the budget
        for way in ("401", "403", "404", "413", "429"):
            one.calls.clear()
            one.way = way
            assert (await house.call("echo")).status == 502
            assert len(one.calls) == 1
        one.way = ""
        assert (await house.call("echo")).status == 200


@pytest.mark.parametrize("way", [way for way in WAYS if way not in ("hang", "401")])
async def test_a_call_that_changes_nothing_is_made_again_until_it_is_answered(tmp_path: Path, way: str) -> None:
    """RES-03: each time under an id of its own, answered under the caller's."""
    one = Failing("one")
    async with node(tmp_path, one, retry=EAGER, breaker=None) as house:
        for _ in range(2):
            await house.call("echo")  # for the budget
        one.calls.clear()
        one.way, one.left = way, 2
        answer = await house.send(call_body(name="echo", raw_id="mine", a=1))
        assert answer.status == 200, answer.body
        assert answer.json["id"] == "mine"
        assert json.loads(answer.json["result"]["content"][0]["text"]) == {"a": 1}
        assert len({json.dumps(call["id"]) for call in one.calls}) == len(one.calls) == 3
        assert len({json.dumps(call["params"]) for call in one.calls}) == 1
        assert 'mantlet_upstream_repeats_total{server="one",what="again"}' in await metrics(house)


async def test_a_server_that_comes_back_while_it_is_tried_again_gets_the_call_once(tmp_path: Path) -> None:
    """RES-03: before the first byte was sent any call may be tried again."""
    one = Failing("one")
    retry = {"max": 5, "budget_percent": 100, "backoff_ms": 20, "max_backoff_ms": 200}
    async with node(tmp_path, one, retry=retry, breaker=None) as house:
        for _ in range(5):
            assert (await house.call("echo")).status == 200
        await one.close()
        one.calls.clear()
        asked = asyncio.ensure_future(house.call("write"))
        while "again" not in await metrics(house):
            await asyncio.sleep(0.005)
        await one.open()
        assert (await asked).status == 200
        assert [call["params"]["name"] for call in one.calls] == ["write"]


async def test_an_open_breaker_answers_at_once_and_says_when_to_come_again(tmp_path: Path) -> None:
    """RES-01, RES-02, AUD-01"""
    one = Failing("one", way="500")
    async with node(tmp_path, one, breaker={"failures": 3, "open": 60}) as house:
        for _ in range(3):
            assert (await house.call("echo")).status == 502
        answer = await house.call("echo")
        assert answer.status == 503
        assert 60 <= int(answer.headers["retry-after"]) <= 72
        assert answer.json["error"]["data"]["reason"] == "breaker_open"
        legacy = await house.legacy("tools/call", {"name": "echo"}, server="one")
        assert legacy.status in (400, 503)
        sent = len(one.sent)
        assert (await house.send(call_body("tools/list"))).status == 503
        assert len(one.sent) == sent, "an open breaker let something through"
        assert len(one.calls) == 3
        told = await breaker_of(house)
        assert told["state"] == "open"
        assert told["refused"] >= 2
        text = await metrics(house)
        assert 'mantlet_breaker_state{endpoint="",server="one"} 2.0' in text
        assert 'mantlet_breaker_transitions_total{server="one",state="open"} 1.0' in text
        (record,) = [record for record in house.audit() if record["event"] == "breaker.open"]
        assert record["object"] == "one"
        assert "3 of 3 calls failed" in json.dumps(record)


async def test_half_open_one_probe_reaches_the_server_whoever_else_asks(tmp_path: Path) -> None:
    """RES-01"""
    one = Failing("one", way="500")
    async with node(tmp_path, one, breaker={"failures": 3, "open": 0.2, "jitter_percent": 0}) as house:
        for _ in range(3):
            await house.call("echo")
        while (await breaker_of(house))["state"] == "open":
            await asyncio.sleep(0.02)
        one.calls.clear()
        one.way = ""
        probe = asyncio.ensure_future(house.call("hold"))
        await one.reached.wait()
        clients = [await Client.to(house.calls.port) for _ in range(200)]
        body = call_body(name="echo")
        fields, raw = fields_of(body, house.keys["alice"]), json.dumps(body).encode()
        answers = await asyncio.gather(*(client.ask("POST", "/mcp/one", fields, raw) for client in clients))
        assert {answer.status for answer in answers} == {503}
        assert {answer.headers["retry-after"] for answer in answers} == {"1"}
        assert len(one.calls) == 1
        one.release.set()
        assert (await probe).status == 200
        assert (await house.call("echo")).status == 200
        assert (await breaker_of(house))["state"] == "closed"
        for client in clients:
            client.close()


async def test_what_opens_and_closes_is_recorded_and_what_probes_find_between_is_counted(tmp_path: Path) -> None:
    """AUD-01: a server that is gone for long does not fill the trail."""
    one = Failing("one", way="500")
    async with node(tmp_path, one, breaker={"failures": 2, "open": 0.02, "jitter_percent": 0}) as house:
        while len(one.calls) < 6:
            await house.call("echo")
            await asyncio.sleep(0.01)
        one.way = ""
        while (await house.call("echo")).status != 200:
            await asyncio.sleep(0.01)
        assert 'mantlet_breaker_transitions_total{server="one",state="half_open"} 5.0' in await metrics(house)
        events = [record["event"] for record in house.audit() if record["event"].startswith("breaker.")]
        assert events == ["breaker.open", "breaker.closed"]


async def test_a_caller_that_leaves_in_mid_probe_frees_its_place(tmp_path: Path) -> None:
    """RES-01"""
    one = Failing("one", way="500")
    async with node(tmp_path, one, breaker={"failures": 3, "open": 0.1, "jitter_percent": 0}) as house:
        for _ in range(3):
            await house.call("echo")
        while (await breaker_of(house))["state"] == "open":
            await asyncio.sleep(0.02)
        one.way = ""
        client = await Client.to(house.calls.port)
        body = call_body(name="hold")
        asked = asyncio.ensure_future(
            client.ask("POST", "/mcp/one", fields_of(body, house.keys["alice"]), json.dumps(body).encode())
        )
        await one.reached.wait()
        assert (await house.call("echo")).status == 503
        one.gone.clear()
        client.close()
        await one.gone.wait()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await asked
        assert (await house.call("echo")).status == 200
        assert (await breaker_of(house))["state"] == "closed"


async def test_what_the_caller_causes_opens_nothing(tmp_path: Path) -> None:
    """RES-01"""
    one = Failing("one")
    async with node(tmp_path, one, breaker={"failures": 1, "min_calls": 1, "failure_percent": 1}) as house:
        for _ in range(5):
            assert (await house.call("exec")).status == 403
            assert (await house.send({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {}})).status == 400
            assert (await house.legacy("tools/list", server="one", session="forged")).status == 404
        assert (await breaker_of(house))["state"] == "closed"


async def test_a_storm_of_failures_reaches_the_server_no_more_than_the_budget_allows(tmp_path: Path) -> None:
    """RES-03: at most 10 % of traffic."""
    one = Failing("one", way="503")
    retry = {"max": 3, "budget_percent": 10, "backoff_ms": 0, "tools": ["echo"]}
    async with node(tmp_path, one, retry=retry, breaker=None) as house:
        client = await Client.to(house.calls.port)
        body = call_body(name="echo")
        fields, raw = fields_of(body, house.keys["alice"]), json.dumps(body).encode()
        for _ in range(300):
            assert (await client.ask("POST", "/mcp/one", fields, raw)).status == 502
        assert 300 < len(one.calls) <= 300 + 30 + 1
        client.close()


async def test_a_slow_read_is_asked_for_twice_and_the_slow_one_is_told_to_stop(tmp_path: Path) -> None:
    """RES-03"""
    one = Failing("one", way="hang", left=1)
    async with node(tmp_path, one, retry={"tools": ["echo"]}, hedge={"after_ms": 30}) as house:
        answer = await house.send(call_body(name="echo", raw_id=77, a=1))
        assert answer.status == 200
        assert answer.json["id"] == 77
        await one.gone.wait()
        assert len(one.calls) == 2


async def test_a_hanging_server_ends_a_call_at_its_deadline_and_is_called_once(tmp_path: Path) -> None:
    """RES-03"""
    one = Failing("one", way="hang")
    async with node(tmp_path, one, mcp=QUICK, retry=EAGER, breaker={"patience": 0.1, "failures": 2}) as house:
        for _ in range(2):
            answer = await house.call("echo")
            assert answer.status == 504
        assert len(one.calls) == 2
        assert (await house.call("echo")).json["error"]["data"]["reason"] == "breaker_open"


async def test_a_caller_that_waits_for_less_is_answered_by_then(tmp_path: Path) -> None:
    """RES-03: and that says nothing of the server (RES-01)."""
    one = Failing("one", way="hang")
    async with node(tmp_path, one, breaker={"failures": 1, "min_calls": 1}) as house:
        body = call_body(name="echo")
        fields = fields_of(body, house.keys["alice"])
        for said, calls in (("100", 1), ("0", 1)):
            fields["X-Request-Timeout-Ms"] = said
            answer = await house.ask("POST", "/mcp/one", fields, json.dumps(body).encode())
            assert answer.status == 504
            await one.gone.wait()
            assert len(one.calls) == calls
        assert (await breaker_of(house))["state"] == "closed"
        assert not any("x-request-timeout-ms" in sent.headers for sent in one.sent), "it is for nodes only"


async def test_another_node_is_told_how_long_there_is(tmp_path: Path) -> None:
    """RES-03"""
    far = Failing("one")
    peer = {"transport": "peer", "server": "one"}
    async with node(tmp_path, far, **peer, url="http://127.0.0.1:{port}") as house:
        await house.call("echo")
        (said,) = [sent.headers["x-request-timeout-ms"] for sent in far.sent if sent.message["method"] == "tools/call"]
        assert 59_000 < int(said) <= 59_950


async def test_a_call_that_changes_nothing_goes_to_another_endpoint(tmp_path: Path) -> None:
    """RES-03: each endpoint has a breaker of its own, and one that fails does not cut off the other (RES-01)."""
    bad, good = Failing("one", way="vanish"), Failing("two")
    for server in (bad, good):
        await server.open()
    urls = [{"url": f"http://127.0.0.1:{server.port}/mcp"} for server in (bad, good)]
    settings = {"endpoints": urls, "health": None, "outlier": {"failures": 1000}, "retry": EAGER}
    async with node(tmp_path, Failing("one"), **settings, breaker={"failures": 3, "open": 60}) as house:
        for _ in range(20):
            assert (await house.call("echo")).status == 200
        assert len(bad.calls) == 3, "its breaker did not open"
        assert len(good.calls) == 20
        text = await metrics(house)
        assert f'mantlet_breaker_state{{endpoint="127.0.0.1:{bad.port}",server="one"}} 2.0' in text
        assert f'mantlet_breaker_state{{endpoint="127.0.0.1:{good.port}",server="one"}} 0.0' in text
        assert (await house.call("write")).status == 200
    for server in (bad, good):
        await server.close()


@pytest.mark.parametrize(
    "way", ["vanish", *(pytest.param(way, marks=pytest.mark.slow) for way in ("503", "cut body", "hang"))]
)
async def test_with_all_of_it_on_what_may_change_something_has_at_most_as_many_effects_as_requests(
    tmp_path: Path, way: str
) -> None:
    """RES-01, RES-02, RES-03, CACHE-02: endpoints, breakers, retries, hedging, fallbacks and the cache together, while
    one of two endpoints fails and comes back, and fails again; what only reads is answered all the while."""
    bad, good, mirror = Failing("one"), Failing("two"), Failing("mirror")
    for server in (bad, good, mirror):
        await server.open()
    one = {
        "name": "one", "transport": "http", "url": "http://one.internal/mcp", "era": "dual",
        "endpoints": [{"url": f"http://127.0.0.1:{server.port}/mcp"} for server in (bad, good)],
        "health": None, "outlier": {"failures": 3, "ejection": 0.05, "max_ejection": 0.05},
        "breaker": {"failures": 2, "open": 0.05, "jitter_percent": 0}, "retry": EAGER, "hedge": {"after_ms": 5},
        "fallback": [{"tools": ["echo"], "server": "mirror"}, {"tools": ["echo"], "cached": 60}],
    }  # fmt: skip
    two = {"name": "mirror", "transport": "http", "url": f"http://127.0.0.1:{mirror.port}/mcp", "era": "dual"}
    mcp = {"servers": [one, two], **QUICK}
    cache = {"enabled": True, "tools": ["one__echo"], "ttl": 1}
    try:
        async with open_house(tmp_path, servers=0, mcp=mcp, cache=cache) as house:
            for turn in range(6):
                bad.way = "" if turn % 3 == 2 else way
                writes = [house.call("write", n=turn * 10 + n) for n in range(10)]
                reads = [house.call("echo", n=turn * 10 + n // 2) for n in range(10)]
                answers = await asyncio.gather(*writes, *reads)
                assert {answer.status for answer in answers[:10]} <= {200, 502, 503, 504}
                # Who hangs takes all the time there is from those for whom the budget has no second call left.
                assert {answer.status for answer in answers[10:]} <= ({200, 504} if way == "hang" else {200})
                for n, answer in enumerate(answers[10:]):
                    if answer.status != 200:
                        continue
                    text = answer.json["result"]["content"][0]["text"]
                    assert json.loads(text) == {"n": turn * 10 + n // 2}
                await asyncio.sleep(0.06)  # so that breakers and endpoints come to be tried
            effects = [
                call["params"]["arguments"]["n"]
                for server in (bad, good, mirror)
                for call in server.calls
                if call["params"]["name"] == "write"
            ]
            assert len(effects) == len(set(effects))
            assert not any(call["params"]["name"] == "write" for call in mirror.calls)
    finally:
        for server in (bad, good, mirror):
            await server.close()


class Flaky:
    """A plain HTTP service: says 503 to every request until it has said it so often."""

    def __init__(self, failures: int) -> None:
        self.left = failures
        self.verbs: list[str] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = next((line[16:] for line in head.split("\r\n") if line.startswith("content-length: ")), "0")
                await reader.readexactly(int(length))
                self.verbs.append(head.split()[0].upper())
                self.left -= 1
                status = b"503 No" if self.left >= 0 else b"200 OK"
                writer.write(b"HTTP/1.1 %b\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi" % status)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@pytest.mark.parametrize(("verb", "times"), [("GET", 2), ("POST", 1), ("PUT", 1), ("DELETE", 1)])
async def test_plain_services_are_asked_again_by_safe_verbs_only(tmp_path: Path, verb: str, times: int) -> None:
    """RES-01, RES-03"""
    flaky = Flaky(1)
    server = await asyncio.start_server(flaky.accept, "127.0.0.1", 0)
    section = {
        "name": "plain",
        "url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
        "retry": EAGER | {"tools": []},
        "breaker": {"failures": 2, "min_calls": 2, "open": 60},
    }
    async with open_house(tmp_path, servers=1, http_upstreams=[section]) as house:
        bearer = {"Authorization": f"Bearer {house.keys['root']}", "Content-Type": "application/json"}
        body = b"" if verb in ("GET", "DELETE") else b"{}"
        assert (await house.ask(verb, "/api/plain/x", bearer, body)).status == (200 if times == 2 else 503)
        assert flaky.verbs == [verb] * times
        flaky.left = 1_000
        for _ in range(3):
            await house.ask("POST", "/api/plain/x", bearer, b"{}")
        sent = len(flaky.verbs)
        refused = await house.ask("GET", "/api/plain/x", bearer)
        assert (refused.status, refused.json["reason"]) == (503, "breaker_open")
        assert 60 <= int(refused.headers["retry-after"]) <= 72
        assert len(flaky.verbs) == sent
    server.close()


async def test_a_program_gets_a_breaker_where_the_operator_wants_one(tmp_path: Path) -> None:
    """RES-01"""
    script = tmp_path / "server.py"
    script.write_text(
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    m = json.loads(line)\n"
        "    if m.get('method') == 'tools/call':\n"
        "        continue\n"  # it says nothing
        "    if 'id' in m:\n"
        "        print(json.dumps({'jsonrpc': '2.0', 'id': m['id'], 'result': {'resultType': 'complete',"
        " 'supportedVersions': ['2026-07-28'], 'capabilities': {}, 'tools': []}}), flush=True)\n"
    )
    section = {"name": "one", "command": [sys.executable, str(script)], "breaker": {"failures": 2, "patience": 0.1}}
    async with open_house(tmp_path, servers=0, mcp={"servers": [section], **QUICK}) as house:
        for _ in range(2):
            assert (await house.call("echo")).status == 504
        assert (await house.call("echo")).json["error"]["data"]["reason"] == "breaker_open"


@pytest.mark.parametrize("client", ["modern", "legacy"])
async def test_a_crossing_meets_the_breaker_of_its_server_as_everybody_does(tmp_path: Path, client: str) -> None:
    """RES-01, RES-02: clients of one era, a server of the other."""
    one = Failing("one")
    other = "legacy" if client == "modern" else "modern"
    settings = {"era": other, "breaker": {"failures": 3, "open": 0.2, "jitter_percent": 0}}
    async with node(tmp_path, one, **settings) as house:
        session = ""
        if client == "legacy":
            asked = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
            session = (await house.legacy("initialize", asked, server="one")).headers["mcp-session-id"]

        async def call() -> Any:
            if client == "modern":
                return (await house.call("echo")).json
            return (await house.legacy("tools/call", {"name": "echo"}, server="one", session=session)).json

        assert "result" in await call()
        one.way = "503"
        reasons = [(await call())["error"]["data"]["reason"] for _ in range(10)]
        assert reasons[-1] == "breaker_open"
        one.way = ""
        while (await breaker_of(house))["state"] == "open":
            await asyncio.sleep(0.02)
        while "result" not in (answer := await call()):
            assert answer["error"]["data"]["reason"] == "breaker_open"
            await asyncio.sleep(0.02)
        assert (await breaker_of(house))["state"] == "closed"

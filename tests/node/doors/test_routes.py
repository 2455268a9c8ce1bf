"""Every route there is, by every verb, for every kind of credential: what is forgotten is found here.

The table is the node's own (`node.doors.routes`). Paths that are in no table are looked for in the source: whatever
text there looks like a path is asked for, too.
"""

import ast
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest
from tests.attacks.house import AUDIENCE, ISSUER, Answer, Client, House, call_body, fields_of, open_house
from tests.servers.plain import Plain, served

from mantlet.admin.app import table
from mantlet.keys.signing import make_signing_key
from mantlet.node import path as path_module
from mantlet.node.doors.routes import EXCEPTIONS, Route, routes_of
from mantlet.node.operators.application import admin_app
from mantlet.policies.published.policy import WELL_KNOWN

SOURCE = Path(path_module.__file__).parents[1]
VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
RULES = [
    {"name": "admins", "allow": {"roles": ["admin"], "tenants": ["default"]}},
    {"name": "users", "allow": {"roles": ["user"], "tenants": ["default"]}},
]
BODY = json.dumps(call_body()).encode()


@dataclass
class Walk:
    """A node with everything on, and all its routes."""

    house: House
    routes: list[Route]
    plain: Plain
    """What came to the service."""
    clients: dict[str, Client] = field(default_factory=dict)

    def credentials(self) -> dict[str, dict[str, str]]:
        """What opens nothing, what opens something, and what opens all."""
        now_s = int(time.time())
        token = partial(self.house.token, key=(self.house.folder / "jwt.key").read_text(), algorithm="EdDSA")
        tokens = {
            "none": "",
            "bad": "garbage",
            "unknown key": "mk_" + "A" * 12 + "_" + "A" * 43,
            "expired": token(exp=now_s - 60, iat=now_s - 120, nbf=now_s - 120),
            "wrong audience": token(aud="https://other.test/mcp"),
            "wrong issuer": token(iss="https://other.test"),
            "other tenant": token(tenant="other"),
            "user": self.house.keys["alice"],
            "admin": self.house.keys["root"],
        }
        return {name: {"Authorization": f"Bearer {one}"} if one else {} for name, one in tokens.items()}

    def assert_nothing_reached(self) -> None:
        """No server has seen anything."""
        assert [sent for upstream in self.house.upstreams.values() for sent in upstream.sent] == []
        assert self.plain.requests == []

    async def ask(self, verb: str, path: str, door: str, fields: dict[str, str]) -> Answer:
        body = BODY if verb in ("POST", "PUT", "PATCH") else b""
        known = fields_of(call_body()) if body else {}
        # On one connection for as long as it lasts: there are thousands of these.
        client = self.clients.pop(door, None) or await Client.to(getattr(self.house, door).port)
        answer = await client.ask(verb, path, {**known, **fields}, body)
        if answer.headers.get("connection") == "close":
            client.close()
        else:
            self.clients[door] = client
        return answer


BAD = ("none", "bad", "unknown key", "expired", "wrong audience", "wrong issuer")


@pytest.fixture
async def walk(tmp_path: Path) -> AsyncIterator[Walk]:
    make_signing_key(tmp_path / "jwt.key")
    async with served() as plain:
        grant = {
            "issuer": "https://login.test",
            "client_id": "node",
            "authorization_endpoint": "https://login.test/a",
            "token_endpoint": "https://login.test/t",
        }
        own = {"name": "own", "url": f"{plain.url}/own", "forward_identity": "user", "user": grant}
        # One without a client_id, whose metadata the node publishes.
        met = {**own, "name": "met", "user": {name: grant[name] for name in grant if name != "client_id"}}
        corp = {"name": "corp", "issuer": "https://idp.test", "login": {"client_id": "pages"}}
        sections = {
            "agent": {"url": "https://mantlet.test"},
            "http_upstreams": [{"name": "plain", "url": f"{plain.url}/base"}, own, met],
            "cache": {"enabled": True},
            "authorization": {"rules": RULES, "approvals": {"tools": ["nothing"]}},
            "addresses": {"auto_block": {"enabled": False}},
            "auth": {
                "issuers": [corp],
                "server": {"client_metadata": {"enabled": True}},
                "jwt": {"key_file": str(tmp_path / "jwt.key"), "issuer": ISSUER, "audience": AUDIENCE},
            },
        }
        async with open_house(tmp_path, servers=2, **sections) as house:
            app = admin_app(house.node, list)
            routes = [replace(route, path=route.path.replace("{id}", "x")) for route in routes_of(house.node, app)]
            walk = Walk(house, routes, plain)
            yield walk
            for client in walk.clients.values():
                client.close()


def variants(path: str) -> Iterator[str]:
    """The same path as somebody might write it who hopes that a guard reads it another way than a route."""
    yield from (
        f"{path}/",
        f"/{path}",
        f"{path};x=1",
        f"{path}?x=1",
        f"{path}%2f",
        f"{path}/.",
        f"{path}/../",
        path.upper(),
    )
    yield from (f"/x/..{path}", f"/.{path}", path.replace("/", "/%2e/", 1), path.replace("a", "%61", 1), f"{path}%00")


async def test_the_walk_is_of_a_node_with_everything_on(walk: Walk) -> None:
    """AUTHN-01: what a section opens is in the table when the section is there; what is missing here is not walked."""
    found = {route.path for route in walk.routes}
    assert found >= {
        "/mcp", "/mcp/one", "/sse", "/sse/one", "/api/plain", "/api/own", "/oauth/connect", "/oauth/callback/own",
        "/oauth/client/met", "/oauth/login/corp", "/oauth/authorize", "/oauth/token", "/oauth/revoke", "/oauth/device",
        "/oauth/device_authorization", "/.well-known/oauth-protected-resource/mcp/one", "/.well-known/jwks.json",
    }  # fmt: skip
    app = admin_app(walk.house.node, list)
    assert {route.path for route in app.routes} == {path for path, _ in table(app)}  # type: ignore[attr-defined]


async def test_no_route_opens_to_a_stranger_but_those_that_are_listed(walk: Walk) -> None:
    """AUTHN-01, AUTHN-02: every route, verb, spelling and bad credential; nothing gets through to a server."""
    credentials = walk.credentials()
    for route in walk.routes:
        if route.exception:
            continue
        for name in BAD:
            for verb in VERBS:
                answer = await walk.ask(verb, route.path, route.door, credentials[name])
                assert answer.status == 401, (name, verb, route, answer)
        for path in variants(route.path):
            for verb in ("GET", *route.verbs):
                answer = await walk.ask(verb, path, route.door, {})
                assert answer.status in (400, 401, 404), (verb, path, answer)
    walk.assert_nothing_reached()


async def test_the_exceptions_are_those_that_are_written_down(walk: Walk) -> None:
    """AUTHN-01"""
    found = {route.path: route for route in walk.routes if route.exception}
    assert {route.exception for route in found.values()} == EXCEPTIONS.keys()
    for route in found.values():
        answer = await walk.ask("GET", route.path, route.door, {})
        assert answer.status in (200, 400, 405), (route, answer)
        other = "admin" if route.door == "calls" else "calls"
        assert (await walk.ask("GET", route.path, other, {})).status in (401, 404)
    assert {"/health", "/livez", "/readyz", "/metrics"} <= found.keys()


async def test_what_is_an_administrators_is_nobody_elses(walk: Walk) -> None:
    """AUTHZ-05: 403 for users by every verb that a route takes; 404 on the other listener, for administrators too."""
    credentials = walk.credentials()
    admins = [route for route in walk.routes if route.door == "admin" and not route.exception]
    assert len(admins) > 10
    for route in admins:
        assert route.path.startswith("/admin/v1/")
        path = route.path
        for name in ("user", "other tenant"):
            for verb in route.verbs:
                answer = await walk.ask(verb, path, "admin", credentials[name])
                assert answer.status == 403, (name, verb, route, answer)
            for spelling in variants(path):
                answer = await walk.ask("GET", spelling, "admin", credentials[name])
                assert answer.status in (400, 403, 404, 405), (name, spelling, answer)
        for name in ("user", "admin"):
            for verb in route.verbs:
                answer = await walk.ask(verb, path, "calls", credentials[name])
                assert answer.status in (404, 405), (name, verb, route, answer)
        for verb in set(VERBS) - set(route.verbs):
            answer = await walk.ask(verb, path, "admin", credentials["admin"])
            assert answer.status == 405, (verb, route, answer)


async def test_another_tenant_gets_nothing_and_users_get_what_rules_give(walk: Walk) -> None:
    """AUTHZ-01, AUTHZ-04"""
    credentials = walk.credentials()
    calls = [route for route in walk.routes if route.door == "calls" and not route.exception]
    for route in calls:
        for verb in route.verbs:
            if verb == "GET" and not route.path.startswith("/api"):
                continue  # a stream; it would not end
            foreign = await walk.ask(verb, route.path, "calls", credentials["other tenant"])
            assert foreign.status in (400, 403, 404, 405, 406, 415), (verb, route, foreign)
    walk.assert_nothing_reached()
    for path, body in (("/mcp/one", call_body()), ("/mcp/two", call_body())):
        for name in ("user", "admin"):
            fields = {**fields_of(body), **credentials[name]}
            answer = await walk.house.ask("POST", path, fields, json.dumps(body).encode())
            assert answer.status == 200, (name, path, answer)
        assert (
            await walk.house.ask("POST", path, {**fields_of(body), **credentials["user"]}, door="admin")
        ).status == 404


async def test_no_path_in_the_source_opens_that_no_table_knows(walk: Walk) -> None:
    """AUTHN-01: a step that answers a path of its own before `authenticate` shows here."""
    listed = {(route.door, route.path) for route in walk.routes if route.exception}
    tried = sorted({path for file in SOURCE.rglob("*.py") for path in paths_in(file)})
    assert {"/mcp", "/health", "/.well-known/jwks.json", "/sse"} <= set(tried)
    for door in ("calls", "admin"):
        for path in tried:
            if (door, path) in listed:
                continue
            for verb in ("GET", "POST"):
                answer = await walk.ask(verb, path, door, {})
                # What is no document is not there, for nobody (OAUTH-01).
                is_missing = door == "admin" or path.startswith(WELL_KNOWN)
                expected = (400, 401, 404) if is_missing else (400, 401)
                assert answer.status in expected, (door, verb, path, answer)
    walk.assert_nothing_reached()


def paths_in(file: Path) -> Iterator[str]:
    """The texts in `file` that a request could ask for."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value.replace("{id}", "x")
            if (
                len(text) < 100
                and text.startswith("/")
                and text.isascii()
                and not set(text) & set(" \\?#{}<>\"'^|`*\n")
            ):
                yield text


def test_nothing_but_what_is_listed_stands_before_authentication() -> None:
    """AUTHN-01: whoever puts a step there comes by here, and by `node.doors.routes`."""
    tree = ast.parse(Path(path_module.__file__).read_text())
    orders = {
        function.name: [
            step.attr if isinstance(step, ast.Attribute) else ast.unparse(step)
            for call in ast.walk(function)
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "_on"
            for step in call.args
        ]
        for function in tree.body
        if isinstance(function, ast.FunctionDef)
    }
    before = orders["path"][: orders["path"].index("authenticate")]
    assert before == ["record", "addresses", "published", "authorization_server", "connect"]
    assert orders["messages"][: orders["messages"].index("current_caller")] == ["record", "addresses"]
    assert "authorize" in orders["_calls"]
    assert "authorize" in orders["_services"]

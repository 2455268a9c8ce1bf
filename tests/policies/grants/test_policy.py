"""What a client hears when its caller's consent is missing, and what it cannot make of that."""

import asyncio
import json
from typing import Any

import pytest

from mantlet.core.call import Arrival, Call, Reply
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.headers import Headers
from mantlet.core.record import Trail
from mantlet.core.refusal import (
    ConsentRequired,
    Denied,
    MethodNotAllowed,
    MissingClientCapability,
    UrlElicitationRequired,
)
from mantlet.policies.grants.asked import LIFE_S, Asked, Askings
from mantlet.policies.grants.people import People
from mantlet.policies.grants.policy import HOLD_S, KEY, MAX_WAITING, Grants
from mantlet.stores.state import MemoryState

ALICE = Caller("alice", "https://idp.example", "jwt")
PAGE = "https://node.example/oauth/connect"
URL = {"elicitation": {"url": {}, "form": {}}}
META = "io.modelcontextprotocol/clientCapabilities"


class Town:
    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.clock = Clock(lambda: self.now_s, lambda: self.now_s)
        self.has_grant = False
        self.may_reach = True
        self.reached: list[Call] = []
        self.denies = False
        self.looks = 0
        self.askings = Askings(MemoryState(self.clock))
        self.can_prove = True
        self.step = Grants(
            {"docs": self},
            self.askings,
            PAGE,
            self.clock,
            may_reach=lambda _c, _s: self.may_reach,
            can_prove=lambda _c: self.can_prove,
            version="1",
        )

    async def token(self, _: Caller, /) -> str:
        self.looks += 1
        self.now_s += 1  # so that nobody has to wait
        if not self.has_grant:
            raise ConsentRequired("docs")
        return "at"

    async def onward(self, call: Call) -> Reply:
        if self.denies:
            raise Denied
        self.reached.append(call)
        if not self.has_grant:
            raise ConsentRequired("docs")
        return Reply(200, [], b"done")

    async def ask(self, method: str = "tools/call", **more: Any) -> Reply:
        return await self.step(call(method, **more), self.onward)


def call(
    method: str = "tools/call",
    *,
    era: str = "modern",
    capabilities: Any = URL,
    kind: str = "request",
    server: str = "docs",
    target: str = "search",
    deadline_s: float = 10_000.0,
    **params: Any,
) -> Call:
    async def read() -> bytes:
        return b""

    trail = Trail("r-1", "http", "192.0.2.1", 0.0)
    arrival = Arrival("POST", "/mcp/docs", b"", Headers(), "192.0.2.1", read, deadline_s, trail, caller=ALICE)
    whole = {"_meta": {META: capabilities}, **params} if era == "modern" else params
    message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": whole}
    body = json.dumps(message).encode()
    return Call(
        arrival, ALICE, kind, era, server, method, target, whole, body, b"7" if kind == "request" else None,  # type: ignore[arg-type]
        deadline_s, message=message,
    )  # fmt: skip


def result(reply: Reply) -> Any:
    assert isinstance(reply.body, bytes)
    return json.loads(reply.body)["result"]


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("method", ["tools/call", "tools/list", "resources/read", "initialize"])
async def test_who_could_prove_themselves_on_no_page_is_led_to_none(method: str, era: str) -> None:
    """FWD-01: callers by certificate, say; and no tool is shown that would lead there."""
    town = Town()
    town.can_prove = False
    with pytest.raises(Denied) as caught:
        await town.ask(method, era=era)
    assert not isinstance(caught.value, ConsentRequired)
    assert PAGE not in caught.value.detail
    assert "API key" in caught.value.detail
    town.has_grant = True
    assert (await town.ask()).body == b"done"


@pytest.mark.parametrize("method", ["tools/call", "prompts/get", "resources/read"])
async def test_a_client_that_opens_pages_is_asked_by_the_revisions_own_question(method: str) -> None:
    """FWD-01"""
    asked = result(await Town().ask(method))
    assert asked["resultType"] == "input_required"
    assert list(asked["inputRequests"]) == [KEY]
    question = asked["inputRequests"][KEY]
    assert question["method"] == "elicitation/create"
    assert question["params"]["mode"] == "url"
    assert question["params"]["url"].startswith(f"{PAGE}?id=")
    assert "alice" not in json.dumps(asked)
    assert "idp.example" not in json.dumps(asked)


@pytest.mark.parametrize(
    "capabilities",
    [{}, None, [], {"elicitation": {}}, {"elicitation": {"form": {}}}, {"elicitation": None}, {"elicitation": ["url"]}],
)
async def test_a_client_that_does_not_is_not(capabilities: Any) -> None:
    with pytest.raises(MissingClientCapability) as refused:
        await Town().ask(capabilities=capabilities)
    assert refused.value.data["requiredCapabilities"] == {"elicitation": {"url": {}}}
    assert refused.value.url.startswith(PAGE)


@pytest.mark.parametrize("method", ["tools/call", "prompts/get", "completion/complete", "logging/setLevel"])
async def test_a_legacy_client_is_told_by_its_own_error(method: str) -> None:
    with pytest.raises(UrlElicitationRequired) as refused:
        await Town().ask(method, era="legacy")
    (page,) = refused.value.data["elicitations"]
    assert (page["mode"], page["url"]) == ("url", f"{PAGE}?id={page['elicitationId']}")


@pytest.mark.parametrize("method", ["completion/complete", "subscriptions/listen", "unknown/method"])
async def test_what_no_question_may_answer_is_refused(method: str) -> None:
    with pytest.raises(ConsentRequired) as refused:
        await Town().ask(method)
    assert type(refused.value) is ConsentRequired


@pytest.mark.parametrize(
    ("method", "era", "member"),
    [
        ("initialize", "legacy", "protocolVersion"),
        ("ping", "legacy", ""),
        ("tools/list", "legacy", "tools"),
        ("tools/list", "modern", "tools"),
        ("prompts/list", "modern", "prompts"),
        ("resources/list", "legacy", "resources"),
        ("resources/templates/list", "modern", "resourceTemplates"),
        ("server/discover", "modern", "supportedVersions"),
    ],
)
async def test_the_node_stands_in_the_servers_place(method: str, era: str, member: str) -> None:
    town = Town()
    found = result(await town.ask(method, era=era))
    assert member in {"", *found}
    town.may_reach = False
    with pytest.raises(ConsentRequired):
        await town.ask(method, era=era)


@pytest.mark.parametrize(("kind", "status"), [("notification", 202), ("response", 202), ("end", 200)])
async def test_what_needs_no_answer_gets_none(kind: str, status: int) -> None:
    assert (await Town().ask("", kind=kind)).status == status


async def test_there_is_no_stream_of_a_server_that_says_nothing() -> None:
    with pytest.raises(MethodNotAllowed):
        await Town().ask("", kind="stream", era="legacy")


async def test_the_rules_decide_before_anybody_is_asked() -> None:
    """AUTHZ-07"""
    town = Town()
    town.denies = True
    with pytest.raises(Denied) as refused:
        await town.ask()
    assert type(refused.value) is Denied
    assert not town.looks


async def test_the_tool_leads_to_the_page_and_then_says_so() -> None:
    town = Town()
    assert result(await town.ask(target="mantlet_connect"))["resultType"] == "input_required"
    town.has_grant = True
    assert "connected" in result(await town.ask(target="mantlet_connect"))["content"][0]["text"]
    assert not town.reached  # the server has no such tool


async def test_other_servers_and_callers_with_a_grant_are_let_be() -> None:
    town = Town()
    town.has_grant = True
    assert (await town.ask()).body == b"done"
    asked = call(server="other")
    await town.step(asked, town.onward)
    assert town.reached[-1] is asked
    assert not town.looks  # nothing is looked up twice


async def test_a_retry_waits_for_its_user_and_the_server_never_sees_the_answer() -> None:
    town = Town()
    town.has_grant = True
    responses = {KEY: {"action": "accept"}, "own": {"action": "accept"}}
    await town.ask(inputResponses=responses, requestState="s", arguments={"a": 1})
    (seen,) = town.reached
    assert seen.params["inputResponses"] == {"own": {"action": "accept"}}
    assert KEY.encode() not in seen.body
    assert json.loads(seen.body)["params"]["requestState"] == "s"
    await town.ask(inputResponses={KEY: {"action": "accept"}})
    assert "inputResponses" not in town.reached[-1].params


async def test_a_retry_is_asked_again_when_its_user_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    town = Town()
    monkeypatch.setattr(asyncio, "sleep", _at_once)
    asked = result(await town.ask(inputResponses={KEY: {"action": "accept"}}))
    assert asked["resultType"] == "input_required"
    assert town.looks <= HOLD_S + 2
    town.looks = 0
    await town.ask(inputResponses={KEY: {"action": "accept"}}, deadline_s=town.now_s + 3)
    assert town.looks <= 4  # and never beyond its deadline


async def test_of_too_many_that_wait_the_rest_is_asked_at_once() -> None:
    town = Town()
    town.step.waiting = MAX_WAITING
    await town.ask(inputResponses={KEY: {"action": "accept"}})
    assert town.looks == 1
    assert town.step.waiting == MAX_WAITING


@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_who_says_no_is_not_asked_again(action: str) -> None:
    with pytest.raises(ConsentRequired) as refused:
        await Town().ask(inputResponses={KEY: {"action": action}})
    assert type(refused.value) is ConsentRequired


@pytest.mark.parametrize("ours", [None, 7, [], {}, {"action": 7}, {"action": ["accept"]}])
async def test_an_answer_that_is_none_is_asked_for_again(ours: Any) -> None:
    assert result(await Town().ask(inputResponses={KEY: ours}))["resultType"] == "input_required"


@pytest.mark.parametrize("responses", [None, 7, [], "x"])
async def test_answers_of_another_shape_are_the_servers_affair(responses: Any) -> None:
    town = Town()
    town.has_grant = True
    await town.ask(inputResponses=responses)
    assert town.reached[0].params["inputResponses"] == responses


async def test_one_link_for_all_calls_of_a_caller_until_it_is_old() -> None:
    town = Town()
    first = await town.askings.ask(ALICE, "docs")
    assert await town.askings.ask(ALICE, "docs") == first
    assert await town.askings.ask(ALICE, "other") != first
    assert await town.askings.ask(Caller("bob", ALICE.issuer, "jwt"), "docs") != first
    assert await town.askings.asked(first) == Asked("docs", "default", ALICE.issuer, "alice")
    town.now_s += LIFE_S + 1
    assert await town.askings.ask(ALICE, "docs") != first
    assert await town.askings.asked(first) is not None  # who followed it in its last moment
    town.now_s += 3 * LIFE_S
    assert await town.askings.asked(first) is None
    assert await town.askings.asked("x" * 100_000) is None


async def test_before_a_yes_is_spent_the_grant_is_there() -> None:
    town = Town()
    with pytest.raises(ConsentRequired):
        await town.step.check(call(), town.onward)
    assert not town.reached
    town.has_grant = True
    await town.step.check(call(), town.onward)
    assert len(town.reached) == 1


KEYS, OWN = "mantlet:api-key", "https://node.example"


def subject_of(user: Caller) -> str:
    return user.subject if user.issuer == KEYS else f"{user.issuer}#{user.subject}"


@pytest.mark.parametrize(
    ("asked", "user", "is_same"),
    [
        (("default", KEYS, "ada"), Caller("ada", KEYS, "api_key"), True),
        (("default", KEYS, "ada"), Caller("bob", KEYS, "api_key"), False),
        (("acme", KEYS, "ada"), Caller("ada", KEYS, "api_key"), False),
        (("default", "https://idp", "ada"), Caller("ada", KEYS, "api_key"), False),
        (("default", KEYS, "ada"), Caller("ada", "https://idp", "jwt"), False),
        (("default", OWN, "ada"), Caller("ada", KEYS, "api_key"), True),
        (("acme", OWN, "ada"), Caller("ada", KEYS, "api_key"), False),
        (("default", OWN, "ada"), Caller("ada", "https://idp", "jwt"), False),
        (("default", OWN, "https://idp#ada"), Caller("ada", "https://idp", "jwt"), True),
        (("default", OWN, "https://idp#ada"), Caller("https://idp#ada", KEYS, "api_key"), True),
        (("default", "https://idp", "ada"), Caller("ada", "https://other", "jwt"), False),
    ],
)
def test_who_is_who(asked: tuple[str, str, str], user: Caller, is_same: bool) -> None:
    """AUTHN-09, OAUTH-04: a principal is tenant, issuer and subject."""
    people = People(KEYS, OWN, subject_of)
    assert people.is_same(Asked("docs", *asked), user) is is_same


def test_without_a_server_of_its_own_nobody_is_anybody_else() -> None:
    """OAUTH-04"""
    people = People(KEYS, "", subject_of)
    assert not people.is_same(Asked("docs", "default", "", "ada"), Caller("ada", KEYS, "api_key"))
    assert not people.is_same(Asked("docs", "default", OWN, "ada"), Caller("ada", KEYS, "api_key"))


async def _at_once(_: float) -> None:
    return None

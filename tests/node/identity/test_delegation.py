"""Chains of actors out of real tokens, through the whole path."""

from pathlib import Path

from tests.attacks.house import call_body, fields_of, open_house

RULES = [
    {"name": "no-agent-deletes", "deny": {"min_depth": 1, "tools": ["hold"]}},
    {"name": "users", "allow": {"roles": ["user"]}},
]


def act(*names: str) -> dict[str, object]:
    chain: dict[str, object] = {"sub": names[-1]}
    for name in reversed(names[:-1]):
        chain = {"sub": name, "act": chain}
    return {"act": chain}


async def test_what_a_chain_may_do_is_decided_by_its_token_alone(tmp_path: Path) -> None:
    """AUTHZ-10: depth, loops and rights of all hops; each hop is recorded; nobody is asserted without a token."""
    section = {"rules": RULES, "delegation": {"max_depth": 2, "actors": [{"name": "bot"}, {"name": "b", "roles": []}]}}
    async with open_house(tmp_path, authorization=section, agent={"name": "edge"}) as house:
        for claims, status, reason in [
            ({}, 200, ""),
            (act("bot"), 200, ""),
            (act("b"), 403, "denied"),
            (act("bot", "b"), 403, "denied"),
            (act("other"), 403, "delegation_refused"),
            (act("edge"), 403, "delegation_refused"),
            (act("bot", "bot"), 403, "delegation_refused"),
            (act("bot", "b", "bot"), 403, "delegation_refused"),
            ({"act": "bot"}, 401, "invalid_credential"),
        ]:
            answer = await house.call(credential=house.token(**claims))
            assert answer.status == status, claims
            assert house.audit()[-1].get("reason", "") == reason
        answer = await house.call(credential=house.token(**act("bot")))
        assert house.audit()[-1]["notes"]["act"] == "bot"
        assert (await house.call("hold", credential=house.token(**act("bot")))).status == 403
        sent = len(house.one.sent)
        body = call_body()
        for name in ("X-Forwarded-User", "X-Auth-User-Id", "X-On-Behalf-Of", "X-Forwarded-Auth-User-ID"):
            fields = {**fields_of(body, house.keys["norules"]), name: "default/iss/alice"}
            assert (await house.ask("POST", "/mcp/one", fields, str(body).replace("'", '"').encode())).status == 403
        assert len(house.one.sent) == sent

"""`mantlet explain`: what would become of a call, from the configuration alone or as the running node decides."""

import datetime
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from mantlet.core.api_key import PREFIX, ApiKeyRecord
from mantlet.core.caller import Caller, CallerKind
from mantlet.core.clock import SYSTEM
from mantlet.core.refusal import DelegationRefused, InvalidParams
from mantlet.node.config.model import Config
from mantlet.policies.authenticate.api_keys import ISSUER, METHOD
from mantlet.policies.authorize.compiling import compile_rules, patterns
from mantlet.policies.authorize.conditions import Facts
from mantlet.policies.authorize.explain import explain
from mantlet.policies.authorize.rules import SEPARATOR
from mantlet.policies.delegation.chain import admitted
from mantlet.policies.delegation.policy import terms_of
from mantlet.policies.kill.switches import Switches
from mantlet.policies.kill.table import Stopped


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who asks for what. `caller` is the name of an API key of the configuration; the id, name or owner of one of the
    database; or any subject, as it is whenever `roles` are said. What is given besides stands in place of what the key
    says. Without `args` it is asked what some call may do."""

    caller: str
    method: str
    target: str = ""
    server: str = ""
    issuer: str | None = None
    tenant: str | None = None
    kind: CallerKind | None = None
    roles: tuple[str, ...] | None = None
    scopes: tuple[str, ...] | None = None
    act: tuple[str, ...] = ()
    args: dict[str, Any] | None = None
    address: str | None = None
    at: datetime.datetime | None = None

    def is_of_database(self, config: Config) -> bool:
        """Whether only the keys of the database can say who is meant."""
        return self.roles is None and all(key.name != self.caller for key in config.auth.api_keys)


def answer(
    config: Config, question: Question, stopped: Stopped | None = None, keys: Sequence[ApiKeyRecord] = ()
) -> dict[str, Any]:
    """The verdict and the way to it. `stopped` is what kill switches say, where a node is there to ask; `keys` are
    those of the database, where `is_of_database`.

    Raises `ValueError` for rules that cannot be read, `InvalidParams` where several keys are meant.
    """
    key = _key_of(question, keys)
    caller = _caller(config, question, key)
    server, target = _place(config, question)
    told: dict[str, Any] = {
        "caller": caller.name,
        "roles": sorted(caller.roles),
        "scopes": sorted(caller.scopes),
        "act": list(caller.act),
        "key": "" if key is None else key.id,
        "server": server,
        "method": question.method,
        "target": target,
        "named": _named(config, question, server, target),
    }
    if stopped is not None:
        switch = stopped.caller(caller) or stopped.target(server, question.method, target)
        if switch is not None:
            return {
                **told,
                "allowed": False,
                "rule": f"kill {switch.kind}",
                "why": "stopped by an operator",
                "steps": [],
            }
    try:
        caller = admitted(caller, terms_of(config.authorization.delegation, config.agent.name))
    except DelegationRefused as refusal:
        return {**told, "allowed": False, "rule": "delegation", "why": refusal.detail, "steps": []}
    facts = Facts(
        caller,
        server,
        question.method,
        target,
        SYSTEM.wall() if question.at is None else question.at.timestamp(),
        question.address,
        question.args,
        is_outline=question.args is None,
    )
    opens = config.authorization.default == "allow" and config.environment != "production"
    found = explain(compile_rules(config.authorization), facts, default_allows=opens)
    return {
        **told,
        "allowed": found.allowed,
        "rule": found.rule,
        "why": found.steps[-1].why if found.steps and found.rule != "default" else "no rule matches",
        "needs_approval": found.allowed and _needs_approval(config, server, question.method, target),
        "steps": [msgspec.to_builtins(step) for step in found.steps],
    }


def _key_of(question: Question, keys: Sequence[ApiKeyRecord]) -> ApiKeyRecord | None:
    """The live key of the database that is meant: by its id, or as the only one of that name or owner."""
    now_s, said = SYSTEM.wall(), question.caller
    live = [key for key in keys if key.is_live(now_s) and question.tenant in (None, key.tenant)]
    key_id = said.removeprefix(PREFIX)
    meant = [key for key in live if key.id == key_id] or [key for key in live if said in (key.name, key.owner)]
    if len({(key.owner, key.tenant, key.kind, key.roles, key.scopes) for key in meant}) > 1:
        ids = ", ".join(key.id for key in meant)
        raise InvalidParams(f"Several keys are called {said!r}, and give different rights; say which: {ids}.")
    return meant[0] if meant else None


def _caller(config: Config, question: Question, held: ApiKeyRecord | None) -> Caller:
    key = held or next((key for key in config.auth.api_keys if key.name == question.caller), None)
    return Caller(
        question.caller if held is None else held.owner,
        question.issuer or ISSUER,
        METHOD,
        question.tenant or ("default" if key is None else key.tenant),
        question.kind or ("user" if key is None else key.kind),
        frozenset(_given(question.roles, () if key is None else key.roles)),
        frozenset(_given(question.scopes, () if key is None else key.scopes)),
        act=question.act,
    )


def _given(said: Sequence[str] | None, otherwise: Collection[str]) -> Collection[str]:
    return otherwise if said is None else said


def _place(config: Config, question: Question) -> tuple[str, str]:
    """Server and target; a tool's name at /mcp says both."""
    if question.server:
        return question.server, question.target
    server, separator, name = question.target.partition(SEPARATOR)
    names = [*config.mcp.servers, *config.http_upstreams]
    if separator and any(server == one.name for one in names):
        return server, name
    return (names[0].name if len(names) == 1 else ""), question.target


def _named(config: Config, question: Question, server: str, target: str) -> str:
    """How rules name what is asked about, where that is not plain."""
    if question.target.startswith("/") and not server and config.http_upstreams:
        services = ", ".join(one.name for one in config.http_upstreams)
        return f"no service is named, so no rule for a service matches: --server, of {services}"
    if question.method != "tools/call":
        return ""
    if server:
        return f"{target!r} or {server + SEPARATOR + target!r}, whatever it is called at /mcp"
    if not config.mcp.servers:
        return ""
    names = ", ".join(one.name for one in config.mcp.servers)
    return f"no server is named, so no rule for a server matches: --server, or SERVER{SEPARATOR}TOOL, of {names}"


def _needs_approval(config: Config, server: str, method: str, target: str) -> bool:
    section = config.authorization.approvals
    matches = None if section is None else patterns(section.tools)
    if matches is None or method != "tools/call":
        return False
    return bool(matches(target) or matches(f"{server}{SEPARATOR}{target}"))


def question_of(said: Mapping[str, Any]) -> Question:
    """A question as JSON says it. Raises `msgspec.ValidationError`."""
    return msgspec.convert(said, Question)


def running(
    config: Callable[[], Config], switches: Switches, keys: Callable[[], Awaitable[Sequence[ApiKeyRecord]]]
) -> Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]:
    """How a running node answers: by the configuration in force, with its kill switches and its database's keys."""

    async def explained(said: Mapping[str, Any]) -> Mapping[str, Any]:
        in_force, question = config(), question_of(said)
        held = await keys() if question.is_of_database(in_force) else ()
        return answer(in_force, question, switches.stopped, held)

    return explained

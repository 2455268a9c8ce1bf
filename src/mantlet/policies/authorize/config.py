"""`authorization:`."""

from typing import Annotated, Literal

import msgspec

from mantlet.policies.approvals.config import ApprovalsConfig
from mantlet.policies.delegation.config import DelegationConfig


class Selector(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom and what a rule is about. What is absent does not narrow; an empty list matches nothing.

    Of `roles`, `tenants`, `subjects` and `kinds` the caller needs one each; of `scopes` all.
    `tools`, `prompts`, `resources`, `agents`, `paths` and `methods` are shell-style patterns, in which `*` also stands
    for slashes. If any of them is given, the rule is about those objects only. A tool matches by its own name or as
    `server__tool`. A `path` is that of a plain HTTP service, decoded, below its prefix, and begins with a slash;
    together with `methods` (`GET`, `POST`, ...) the rule is about those paths by those methods.

    Of a call that an agent makes for somebody, `subjects` is that somebody, `actors` (patterns) are those who act, and
    the depth is how many they are. A permission wants every actor to be among `actors`, a prohibition any.
    """

    roles: list[str] | None = None
    scopes: list[str] | None = None
    tenants: list[str] | None = None
    subjects: list[str] | None = None
    kinds: list[str] | None = None
    servers: list[str] | None = None
    tools: list[str] | None = None
    prompts: list[str] | None = None
    resources: list[str] | None = None
    agents: list[str] | None = None
    paths: list[str] | None = None
    methods: list[str] | None = None
    actors: list[str] | None = None
    on_behalf_of: list[str] | None = None
    """Patterns of the subject for whom somebody else acts; a call in one's own name is not meant."""
    min_depth: Annotated[int, msgspec.Meta(ge=0)] | None = None
    max_depth: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """0: nobody acts for the caller."""
    when: str | None = None
    """A condition in CEL over `caller`, `args`, `server`, `tool`, `method`, `target`, `time` (UTC) and `address`. One
    that cannot be evaluated denies."""


class RuleConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One rule: exactly one of `allow` and `deny`."""

    name: str
    allow: Selector | None = None
    deny: Selector | None = None
    shadow: bool = False
    """Decided and recorded, not enforced."""


class AuthorizationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The rules, first match wins."""

    default: Literal["deny", "allow"] = "deny"
    """`allow` only outside production."""
    rules: list[RuleConfig] = []
    approvals: ApprovalsConfig | None = None
    """Calls that wait for a human's yes."""
    delegation: DelegationConfig = DelegationConfig()
    """What holds for calls that somebody makes for another, before any rule."""

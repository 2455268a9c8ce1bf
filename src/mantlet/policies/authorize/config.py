"""`authorization:`."""

from typing import Any, Literal

import msgspec


class Selector(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom and what a rule is about. What is absent does not narrow; an empty list matches nothing.

    Of `roles`, `tenants`, `subjects` and `kinds` the caller needs one each; of `scopes` all.
    `tools`, `prompts`, `resources`, `agents`, `paths` and `methods` are shell-style patterns, in which `*` also stands
    for slashes. If any of them is given, the rule is about those objects only. A tool matches by its own name or as
    `server__tool`. A `path` is that of a plain HTTP service, decoded, below its prefix, and begins with a slash;
    together with `methods` (`GET`, `POST`, ...) the rule is about those paths by those methods.
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
    when: str | None = None
    """A condition; not acted on in this version, and therefore refused at start."""


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
    approvals: dict[str, Any] | None = None
    """Human approvals; not acted on in this version."""

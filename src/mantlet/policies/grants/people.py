"""Who is who: the caller who was asked, and the user who came. Pure.

A caller is (tenant, issuer, subject), and somebody who shows a credential of that very principal is the same. Tokens of
the node's own authorization server are given to people who proved themselves by another credential; under which subject
is `own_subject`'s to say, so those who show that credential are the same as well.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mantlet.core.caller import Caller
from mantlet.policies.grants.asked import Asked


@dataclass(frozen=True, slots=True)
class People:
    """`keys` is the issuer of callers with API keys; `own` that of the node's own tokens, empty where it gives none."""

    keys: str
    own: str
    own_subject: Callable[[Caller], str]

    def is_same(self, asked: Asked, user: Caller) -> bool:
        """Whether `user` is who was asked."""
        if user.key == asked.principal:
            return True
        is_own = asked.issuer == self.own != ""
        return is_own and user.tenant == asked.tenant and self.own_subject(user) == asked.subject

    def may_show_key(self, asked: Asked) -> bool:
        """Whether an API key can be theirs."""
        return asked.issuer in (self.keys, self.own)

    def may_log_in(self, asked: Asked, issuer: str) -> bool:
        """Whether a login at `issuer` can be theirs."""
        return asked.issuer in (issuer, self.own)

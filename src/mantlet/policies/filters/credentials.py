"""Credentials in a text: those whose form tells what they are, and those that stand behind their name (AUD-06).

Formats are their issuers' published ones. What has no form is taken for a secret only where its name says so and its
letters are as mixed as chance would mix them.
"""

import math
import re
from collections import Counter
from typing import Final

from mantlet.policies.filters.finding import Finding
from mantlet.policies.filters.signs import Signs

MIN_BITS: Final = 3.0
"""Entropy of a value behind a name, bits a character: words lie below, random text of twenty characters above."""

_END: Final = r"(?![A-Za-z0-9_-])"
_FORMS: Final = {
    "private_key": r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----[\s\S]{0,8192}?(?:-----END[A-Z0-9 -]{1,60}|$)",
    "aws": rf"(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{{16}}{_END}",
    "github": rf"(?:gh[pousr]_[A-Za-z0-9]{{36,255}}|github_pat_[A-Za-z0-9_]{{60,255}}){_END}",
    "gitlab": r"(?:gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat|ffct)-[A-Za-z0-9_-]{20,70}|GR1348941[\w-]{20})",
    "slack": r"(?:xox[abeoprs]-[A-Za-z0-9-]{10,250}|xapp-\d-[A-Z0-9]{5,20}-\d{5,20}-[a-z0-9]{20,80})",
    "slack_hook": r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{40,60}",
    "google": rf"(?:AIza[\w-]{{35}}|ya29\.[\w-]{{20,250}}|GOCSPX-[\w-]{{28}}){_END}",
    "stripe": rf"(?:sk|rk|pk)_(?:live|test|prod)_[A-Za-z0-9]{{10,99}}{_END}",
    "openai": rf"sk-(?:(?:proj|svcacct|admin)-[\w-]{{20,200}}|[A-Za-z0-9]{{20}}T3BlbkFJ[A-Za-z0-9]{{20}}|[A-Za-z0-9]{{48}}){_END}",
    "anthropic": r"sk-ant-[a-z0-9]{3,10}-[\w-]{40,120}",
    "huggingface": rf"(?:hf_[A-Za-z]{{34}}|api_org_[A-Za-z]{{34}}){_END}",
    "npm": rf"npm_[A-Za-z0-9]{{36}}{_END}",
    "pypi": r"pypi-AgE[\w-]{50,1000}",
    "sendgrid": r"SG\.[\w-]{16,32}\.[\w-]{16,64}",
    "twilio": rf"(?:SK|AC)[0-9a-f]{{32}}{_END}",
    "shopify": rf"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{{32}}{_END}",
    "digitalocean": rf"do[opr]_v1_[a-f0-9]{{64}}{_END}",
    "vault": r"(?:hv[sb]\.[\w-]{24,300}|s\.[A-Za-z0-9]{24}(?![A-Za-z0-9]))",
    "mailgun": rf"(?:key-[0-9a-f]{{32}}|[0-9a-f]{{32}}-[0-9a-f]{{8}}-[0-9a-f]{{8}}){_END}",
    "age": r"AGE-SECRET-KEY-1[A-Z0-9]{58}",
    "azure": r"(?:AccountKey=[A-Za-z0-9+/=]{86,88}|[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34})",
    "atlassian": r"ATATT3[A-Za-z0-9_=-]{180,200}",
    "databricks": rf"dapi[a-f0-9]{{32}}(?:-\d)?{_END}",
    "dynatrace": r"dt0[a-z]01\.[A-Z0-9]{24}\.[A-Z0-9]{64}",
    "grafana": r"(?:glc_[A-Za-z0-9+/]{32,400}|glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}|eyJrIjoi[A-Za-z0-9]{70,400})",
    "linear": rf"lin_(?:api|oauth)_[A-Za-z0-9]{{40}}{_END}",
    "notion": rf"(?:ntn_[A-Za-z0-9]{{40,60}}|secret_[A-Za-z0-9]{{43}}){_END}",
    "postman": r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}",
    "pulumi": rf"pul-[a-f0-9]{{40}}{_END}",
    "rubygems": rf"rubygems_[a-f0-9]{{48}}{_END}",
    "newrelic": rf"(?:NRAK-[A-Z0-9]{{27}}|NRII-[\w-]{{32}}|NRJS-[a-f0-9]{{19}}){_END}",
    "planetscale": r"pscale_(?:tkn|oauth|pw)_[\w=.-]{32,64}",
    "doppler": r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9]{40,44}",
    "square": r"(?:EAAA[\w-]{22,60}|sq0(?:atp|csp)-[\w-]{22,43})(?![\w-])",
    "telegram": r"\d{8,10}:AA[\w-]{32,34}(?![\w-])",
    "discord": r"[MNO][A-Za-z\d_-]{23,25}\.[\w-]{6}\.[\w-]{27,38}(?![\w-])",
    "facebook": rf"EAA(?:[MC][A-Za-z0-9]{{20,300}}){_END}",
    "jwt": r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{0,2048}",
    "mantlet": r"mk_[0-9A-Za-z]{12}_[0-9A-Za-z]{16,128}",
    "url": r"(?:https?|ftp|postgres(?:ql)?|mysql|mongodb(?:\+srv)?|redis|rediss|valkeys?|amqps?|smtps?|ldaps?|ssh|git)"
    r"://[^\s/:@\"'<>{}$\x02]{0,100}:(?P<password>[^\s/:@\"'<>{}$*\x02]{3,200})@[A-Za-z0-9\[]",
    "bearer": r"(?i:authorization)[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?i:bearer|basic|token|dpop)\s{1,3}[\w.~+/=-]{16,4096}",
}
_FORM: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:" + "|".join(f"(?P<{name}>{form})" for name, form in _FORMS.items()) + ")"
)
_NAMED: Final = re.compile(
    r"(?P<name>(?:api[_-]?key|apikey|secret(?:[_-]?(?:key|access[_-]?key|token))?|access[_-]?(?:key|token)|auth[_-]?token"
    r"|client[_-]?secret|private[_-]?key|password|passwd|pwd|passphrase|credentials?|(?:bearer|refresh|session)[_-]?token"
    r"|encryption[_-]?key|token)[\w-]{0,20})"
    r"\\?[\"'`]?\]?\s{0,4}(?:=>|:=|[:=])\s{0,4}(?:[brufR]{0,2}\\?[\"'`])?(?P<value>[A-Za-z0-9_~+/=.!@#$%^&*-]{10,256})"
    r"(?=\\?[\"'`,;\s)\]}]|\Z|\x02)",
    re.IGNORECASE,
)
_NAMES: Final = frozenset({b"key", b"secret", b"token", b"passw", b"pwd", b"credential", b"passphrase"})
_CODE: Final = re.compile(
    r"^[A-Za-z_][\w]*(?:[.\[(]|$)|^[/.~]|^\$|^%|^<|^\*|://|\.(?:[a-z]{2,4})$|^[a-z]+(?:[-_.][a-z]+)*$", re.IGNORECASE
)
MIN_WORD: Final = 10
"""Characters of the longest word below which no credential of a known form fits."""


def may(signs: Signs) -> bool:
    """Whether a text with these signs can hold any."""
    return signs.longest >= MIN_WORD or signs.has("@") or signs.has("=") or signs.has(":")


def find(text: str) -> list[Finding]:
    """Credentials in `text`. What is found is the credential alone where its name stands before it."""
    found: list[Finding] = []
    for match in _FORM.finditer(text):
        kind = match.lastgroup or ""
        if kind == "password" or match["password"]:
            found.append(Finding("secrets.url", *match.span("password")))
        else:
            found.append(Finding(f"secrets.{kind}", *match.span()))
    for match in _NAMED.finditer(text):
        if _is_random(match["value"]):
            found.append(Finding("secrets.named", *match.span("value")))
    return sorted(found, key=lambda finding: finding.start)


def _is_random(value: str) -> bool:
    """Whether a value looks drawn by chance: letters and digits mixed, no identifier, no path, no word."""
    has_digit = any(map(str.isdigit, value))
    if not has_digit and (value.islower() or value.isupper() or _CODE.search(value)):
        return False
    if not has_digit or _CODE.search(value) and value.islower() and not has_digit:
        return False
    return entropy(value) >= MIN_BITS


def entropy(text: str) -> float:
    """Shannon's, in bits a character."""
    size = len(text)
    return -sum(count / size * math.log2(count / size) for count in Counter(text).values())

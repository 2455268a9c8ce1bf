"""Credentials in a text: those whose form tells what they are, and those that stand behind their name (AUD-06).

Formats are their issuers' published ones. What has no form is taken for a secret only where its name says so and its
letters are as mixed as chance would mix them.
"""

import math
import re
from collections import Counter
from typing import Final

from mantlet.policies.filters.rules import Rule, Rules

MIN_BITS: Final = 3.0
"""Entropy of a value behind a name, bits a character: words lie below, random text of twenty characters above."""

_FORMS: Final = {
    "aws": r"(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{16}",
    "github": r"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,}",
    "gitlab": r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat|ffct|oas)-[A-Za-z0-9_-]{20,}|GR1348941[\w-]{20}",
    "slack": r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9]{5,}-\d{5,}-[a-z0-9]{20,}",
    "slack_hook": r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{40,60}",
    "google": r"AIza[\w-]{35}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{28}",
    "stripe": r"(?:sk|rk|pk)_(?:live|test|prod)_[A-Za-z0-9]{10,}",
    "openai": r"sk-(?:proj|svcacct|admin)-[\w-]{20,}|sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}|sk-[A-Za-z0-9]{48}",
    "anthropic": r"sk-ant-[a-z0-9]{3,10}-[\w-]{40,}",
    "huggingface": r"(?:hf|api_org)_[A-Za-z]{34}",
    "npm": r"npm_[A-Za-z0-9]{36}",
    "pypi": r"pypi-AgE[\w-]{50,}",
    "sendgrid": r"SG\.[\w-]{16,32}\.[\w-]{16,64}",
    "sendinblue": r"xkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}",
    "twilio": r"(?:SK|AC)[0-9a-f]{32}",
    "shopify": r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
    "digitalocean": r"do[opr]_v1_[a-f0-9]{64}",
    "vault": r"hv[sb]\.[\w-]{24,}|s\.[A-Za-z0-9]{24}",
    "mailgun": r"(?:key|pubkey)-[0-9a-f]{32}|[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}",
    "mailchimp": r"[0-9a-f]{32}-us\d{1,2}",
    "age": r"AGE-SECRET-KEY-1[A-Z0-9]{58}",
    "azure": r"AccountKey=[A-Za-z0-9+/=]{86,88}|[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34}",
    "atlassian": r"ATATT3[A-Za-z0-9_=-]{180,}|BBDC-[A-Za-z0-9_=-]{40,}",
    "databricks": r"dapi[a-f0-9]{32}(?:-\d)?",
    "dynatrace": r"dt0[a-z]01\.[A-Z0-9]{24}\.[A-Z0-9]{64}",
    "grafana": r"glc_[A-Za-z0-9+/]{32,}|glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}|eyJrIjoi[A-Za-z0-9]{70,}",
    "linear": r"lin_(?:api|oauth)_[A-Za-z0-9]{40}",
    "notion": r"ntn_[A-Za-z0-9]{40,60}|secret_[A-Za-z0-9]{43}",
    "postman": r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}",
    "pulumi": r"pul-[a-f0-9]{40}",
    "rubygems": r"rubygems_[a-f0-9]{48}",
    "newrelic": r"NRAK-[A-Za-z0-9]{27}|NRII-[\w-]{32}|NRJS-[a-f0-9]{19}",
    "planetscale": r"pscale_(?:tkn|oauth|pw)_[\w=.-]{32,}",
    "doppler": r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9]{40,44}",
    "square": r"EAAA[\w-]{22,}|sq0(?:atp|csp|idp)-[\w-]{22,43}",
    "telegram": r"\d{8,10}:AA[\w-]{32,35}",
    "discord": r"[MNO][A-Za-z\d_-]{23,27}\.[\w-]{6}\.[\w-]{27,38}",
    "facebook": r"EAA[MC][A-Za-z0-9]{20,}",
    "flyio": r"fo1_[\w-]{43}|fm[12][ar]?_[A-Za-z0-9+/]{100,}",
    "1password": r"ops_eyJ[A-Za-z0-9+/]{100,}|A3-[A-Z0-9]{6}-[A-Z0-9-]{20,40}",
    "artifactory": r"AKCp[A-Za-z0-9]{69}|cmVmd[A-Za-z0-9]{59}",
    "adobe": r"p8e-[a-f0-9]{32}",
    "alibaba": r"LTAI[A-Za-z0-9]{20}",
    "frameio": r"fio-u-[\w=-]{64}",
    "duffel": r"duffel_(?:test|live)_[\w=-]{43}",
    "heroku": r"HRKU-AA[\w-]{58}",
    "sentry": r"sntr[ysu]{1,2}_[A-Za-z0-9+/=_]{40,}",
    "bedrock": r"ABSKQmVkcm9ja0FQSUtleS1[A-Za-z0-9+/=]{80,}",
    "clojars": r"CLOJARS_[a-z0-9]{60}",
    "easypost": r"EZ[AT]K[A-Za-z0-9]{54}",
    "prefect": r"pnu_[a-zA-Z0-9]{36}",
    "readme": r"rdme_[a-z0-9]{70}",
    "typeform": r"tfp_[\w.=-]{59}",
    "nuget": r"oy2[a-z0-9]{43}",
    "jwt": r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{0,2048}",
    "mantlet": r"mk_[0-9A-Za-z]{12}_[0-9A-Za-z]{16,}",
}
_SCHEMES: Final = (
    r"(?:https?|ftp|postgres(?:ql)?|mysql|mariadb|mongodb(?:\+srv)?|rediss?|valkeys?|amqps?|smtps?|ldaps?|ssh|git"
    r"|mssql)"
)
_NAME: Final = (
    r"(?:api[_-]?key|apikey|secret|access[_-]?key|access[_-]?token|auth[_-]?token|client[_-]?secret"
    r"|private[_-]?key|password"
    r"|passwd|pwd|passphrase|credentials?|session[_-]?token|encryption[_-]?key|token|[_-]key|signing[_-]?key)"
)


def _is_secret(match: re.Match[str]) -> bool:
    """Whether a value looks drawn by chance: letters and digits mixed, no identifier, no path, no word."""
    value = match[1]
    if not any(map(str.isdigit, value)) or value.isdigit() or _ORDINARY.search(value):
        return False
    return entropy(value) >= MIN_BITS


def _is_password(match: re.Match[str]) -> bool:
    return not _PLACEHOLDER.search(match[1])


_ORDINARY: Final = re.compile(
    r"^[A-Za-z_]\w*[.\[(]|^[/.~$%<*]|://|\.[a-z]{2,4}$|^[A-Za-z]+(?:[-_.][A-Za-z]+)*\d{0,4}$|^\d[\d.,:/-]*$"
    r"|^[a-z_]+\d?$"
    r"|^[\w-]+/[\w-]+$|(.)\1{5}|^\d{4}-\d\d|x{4,}|X{4,}|[1-9]?(?:1234567|abcdefg)",
)
_PLACEHOLDER: Final = re.compile(
    r"^(?:password|passwd|pass|pwd|secret|user|xxx+|\*+|changeme|token|your.*)$", re.IGNORECASE
)

_KEY_BODY: Final = re.compile(r"[A-Za-z0-9+/=\s\\:,.-]*")
_KEY_END: Final = re.compile(r"-----END (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----")


def _key_end(text: str, at: int) -> int:
    """Where a key in PEM ends, also one whose lines are joined by `\\n`; cut off, as far as it can be one."""
    body = _KEY_BODY.match(text, at)
    most = at if body is None else body.end()
    end = _KEY_END.search(text, at, most)
    return most if end is None else end.end()


RULES: Final = Rules(
    [
        Rule(
            "secrets.private_key",
            r"(-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----)",
            is_exact=True,
            goes_on=_key_end,
        ),
        *(
            Rule(f"secrets.{name}", rf"[^A-Za-z0-9]({form})(?:[^A-Za-z0-9_-]|-[^A-Za-z0-9])", is_exact=True)
            for name, form in _FORMS.items()
        ),
        Rule(
            "secrets.url",
            rf"{_SCHEMES}://[^\s/:@\"'<>{{}}$\x02]{{0,100}}:([^\s/:@\"'<>{{}}$*\x02]{{3,200}})@[A-Za-z0-9\[]",
            _is_password,
        ),
        Rule(
            "secrets.bearer",
            r"authorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:bearer|basic|token|dpop)\s{1,3}([\w.~+/=-]{16,400})",
        ),
        Rule(
            "secrets.named",
            rf"{_NAME}[\w-]{{0,20}}\\?[\"'`]?\]?\s{{0,4}}(?:=>|:=|:|=)\s{{0,4}}(?:\\?[\"'`])?"
            r"([A-Za-z0-9_~+/=.!@#%^*-]{10,256})(?:\\?[\"'`,;\s)\]}<\x02])",
            _is_secret,
        ),
    ]
)
find: Final = RULES.find


def entropy(text: str) -> float:
    """Shannon's, in bits a character."""
    size = len(text)
    return -sum(count / size * math.log2(count / size) for count in Counter(text).values())

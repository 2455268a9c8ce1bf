"""Credentials that slipped into text are masked before they are written (AUD-06).

No step may put a credential into a trail, a log event or an error; this is the net under that rule. It knows the
shapes credentials have on the wire, so it is no licence to be careless: a password in free prose has no shape.
"""

import re
from typing import Final

MASK: Final = "[masked]"

_CREDENTIALS: Final = re.compile(
    # No word boundary before these: `server__tool` is how a tool's name may begin.
    r"(?P<jwt>eyJ[\w-]{5,}\.[\w-]{2,}(?:\.[\w-]*){0,3})"
    r"|(?P<key>mk_[0-9A-Za-z]{12}_|mr_[0-9A-Za-z]{22}_)[0-9A-Za-z_-]+"
    r"|(?P<sealed>gAAAA[\w-]{60,}=*)"
    r"|(?P<scheme>\b(?:Bearer|Basic|DPoP)\s+)[\w.~+/=-]{6,}"
    r"|(?P<pem>-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)(?s:.{0,8192}?)(?:-----END[A-Z -]{0,60}|\Z)"
    r"|(?P<name>\b[\w-]{0,40}(?:token|secret|passw(?:or)?d|api[_-]?key|apikey|authorization|signature|sig|code)"
    r"\\?[\"']?\s{0,3}[=:]\s{0,3}\\?[\"']?(?:(?:Bearer|Basic|DPoP)\s+)?)(?!\[masked\])[^\s&;,\"'\\<>}]{4,}"
    r"|(?P<user>\b[a-z][a-z0-9+.-]{1,20}://)[^\s/@\"\\]{1,512}@",
    re.IGNORECASE,
)


def may_hold_credential(text: str) -> bool:
    """Whether `text` holds a word that a credential's surroundings have. Often wrong, on the safe side.

    Every pattern above needs one of these words. Looking for them in the 60 characters of an ordinary call costs
    0.8 us, the patterns 10; in 500 characters either costs more than the whole record may.
    """
    low = text.lower()
    # Written out: a loop over the words costs three times as much.
    return (
        "eyj" in low
        or "mk_" in low
        or "mr_" in low
        or "gaaaa" in low
        or "earer " in low
        or "asic " in low
        or "dpop " in low
        or "token" in low
        or "secret" in low
        or "passw" in low
        or "key" in low
        or "-----begin" in low
        or "sig" in low
        or "authorization" in low
        or "code" in low
        or ("@" in low and "://" in low)
    )


def scrub(text: str) -> str:
    """`text` with everything masked that has the shape of a credential."""
    return _CREDENTIALS.sub(_mask, text)


def _mask(found: re.Match[str]) -> str:
    if found.lastgroup == "user":
        return f"{found['user']}{MASK}@"
    return f"{found['key'] or found['scheme'] or found['name'] or ''}{MASK}"

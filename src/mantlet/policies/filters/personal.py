"""Personal data in a text: addresses, numbers of people, accounts and cards, each with its own check where it has one.

A number alone is nobody's: cards must satisfy Luhn and begin as cards do, IBANs ISO 7064, social security numbers the
rules of their issuer; telephone numbers must be written as such.
"""

import re
from typing import Final

from mantlet.policies.filters.rules import Rule, Rules

_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NOBODY: Final = re.compile(
    r"@(?:[\w-]{1,63}\.){0,4}(?:example\.(?:com|org|net|edu)|example|test|invalid|localhost|local"
    r"|noreply\.github\.com|(?:your|my|some|any)-?(?:domain|company|mail|email|site|host)\.[a-z]{2,4}"
    r"|(?:domain|company|email|mail|server|host|site|website|acme|foo|bar)\.(?:com|org|net))$"
    r"|^(?:git|noreply|no-reply|postmaster|root|admin|info|support|security|help|hello|contact|user|me|you|name"
    r"|username|email|mail|example|test|testing|foo|bar|john\.?doe|jane\.?doe|someone|nobody)@",
    re.IGNORECASE,
)
_FOUR: Final = r"[ -]?\d{4}"


def _is_somebody(match: re.Match[str]) -> bool:
    return _NOBODY.search(match[1]) is None


def _is_card(match: re.Match[str]) -> bool:
    return luhn(match[1])


def _is_iban(match: re.Match[str]) -> bool:
    return iban(match[1])


def _is_ssn(match: re.Match[str]) -> bool:
    area, group, serial = re.split("[ -]", match[1])
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _is_nino(match: re.Match[str]) -> bool:
    return match[1][:2] not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ")


def _is_phone(match: re.Match[str]) -> bool:
    text = match[1]
    digits = sum(map(str.isdigit, text))
    return 9 <= digits <= 15 if text.startswith("+") else digits in (10, 11)


RULES: Final = Rules(
    [
        Rule(
            "personal_data.email",
            rf"[^\w.+@/:-]([A-Za-z0-9][\w.+-]{{0,63}}@(?:{_LABEL}\.){{1,8}}[A-Za-z]{{2,24}})(?:[^\w@-]|-[^\w])",
            _is_somebody,
        ),
        Rule(
            "personal_data.card",
            rf"[^\w.+:/=-]((?:4\d{{3}}|5[1-5]\d\d|2[2-7]\d\d|6011|65\d\d|64[4-9]\d|62\d\d|35(?:2[89]"
            rf"|[3-8]\d)){_FOUR}{_FOUR}{_FOUR}"
            r"|3[47]\d\d[ -]?\d{6}[ -]?\d{5}|3(?:0[0-5]|[68]\d)\d[ -]?\d{6}[ -]?\d{4})(?:[^\w.-]|\.[^\d])",
            _is_card,
        ),
        Rule(
            "personal_data.iban",
            r"[^A-Za-z0-9]([A-Z]{2}\d{2}(?:(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,4})?|[A-Z0-9]{11,30}))[^A-Za-z0-9]",
            _is_iban,
            is_exact=True,
        ),
        Rule("personal_data.ssn", r"[^\w.+/-](\d{3}-\d{2}-\d{4}|\d{3} \d{2} \d{4})(?:[^\w.-]|\.[^\d])", _is_ssn),
        Rule(
            "personal_data.nino",
            r"[^A-Za-z0-9]([A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D])[^A-Za-z0-9]",
            _is_nino,
            is_exact=True,
        ),
        Rule(
            "personal_data.phone",
            r"[^\w.+/=-](\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){2,4}|\(\d{3}\) ?\d{3}[ .-]\d{4}"
            r"|(?:1[ .-])?\d{3}([.-])\d{3}[.-]\d{4})(?:[^\w/=.-]|\.[^\d])",
            _is_phone,
        ),
    ]
)
find: Final = RULES.find


def luhn(text: str) -> bool:
    """Whether the digits of `text` satisfy ISO/IEC 7812-1 Annex B, and are not one digit only."""
    digits = [int(char) for char in text if char.isdigit()]
    doubled = [digit if place % 2 == 0 else digit * 2 - 9 * (digit > 4) for place, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0 and len(set(digits)) > 1


def iban(text: str) -> bool:
    """Whether `text` satisfies ISO 13616 (mod 97 of ISO 7064)."""
    compact = text.replace(" ", "")
    if not 15 <= len(compact) <= 34:
        return False
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(char, 36)) for char in turned)) % 97 == 1

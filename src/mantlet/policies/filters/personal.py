"""Personal data in a text: addresses, numbers of people, accounts and cards, each with its own check where it has one.

A number alone is nobody's: cards must satisfy Luhn and begin as cards do, IBANs ISO 7064, social security numbers the
rules of their issuer; telephone numbers must be written as such.
"""

import re
from typing import Final

from mantlet.policies.filters.finding import Finding
from mantlet.policies.filters.signs import Signs

_EMAIL: Final = re.compile(
    r"(?<![\w.+@/-])[A-Za-z0-9][\w.+-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![\w@-]|\.[A-Za-z])"
)
_NOBODY: Final = re.compile(
    r"@(?:[\w-]{1,63}\.){0,4}(?:example\.(?:com|org|net|edu)|example|test|invalid|localhost|local|users\.noreply\.github\.com)$"
    r"|^(?:git|noreply|no-reply|postmaster|root|admin|info|support|security|help|hello|contact)@",
    re.IGNORECASE,
)
_CARD: Final = re.compile(
    r"(?<![\w.+:/=-])(?:(?:4\d{3}|5[1-5]\d\d|2[2-7]\d\d|6(?:011|5\d\d|4[4-9]\d|2\d\d)|35(?:2[89]|[3-8]\d))[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}"
    r"|3[47]\d\d[ -]?\d{6}[ -]?\d{5}|3(?:0[0-5]|[68]\d)\d[ -]?\d{6}[ -]?\d{4})(?![\w-]|\.\d)"
)
_IBAN: Final = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,4})?|[A-Z0-9]{11,30})(?![A-Za-z0-9])"
)
_SSN: Final = re.compile(r"(?<![\w.+/-])(?!000|666|9\d\d)\d{3}([- ])(?!00)\d{2}\1(?!0000)\d{4}(?![\w-]|\.\d)")
_PHONE: Final = re.compile(
    r"(?<![\w+./=-])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){2,4}"
    r"|\(\d{3}\) ?\d{3}[ .-]\d{4}|1?[ .-]?\d{3}[.-]\d{3}[.-]\d{4})(?![\w/=-]|\.\d)"
)
_NIN: Final = re.compile(
    r"(?<![A-Za-z0-9])(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D](?![A-Za-z0-9])"
)
MIN_DIGITS: Final = 9


def may(signs: Signs) -> bool:
    """Whether a text with these signs can hold any."""
    return signs.digits >= 6 or signs.has("@")


def find(text: str) -> list[Finding]:
    """Personal data in `text`."""
    found: list[Finding] = []
    if "@" in text:
        for match in _EMAIL.finditer(text):
            if not _NOBODY.search(match[0]):
                found.append(Finding("personal_data.email", *match.span()))
    for match in _CARD.finditer(text):
        if luhn(match[0]):
            found.append(Finding("personal_data.card", *match.span()))
    for match in _IBAN.finditer(text):
        if iban(match[0]):
            found.append(Finding("personal_data.iban", *match.span()))
    found += [Finding("personal_data.ssn", *match.span()) for match in _SSN.finditer(text)]
    found += [Finding("personal_data.nino", *match.span()) for match in _NIN.finditer(text)]
    found += [Finding("personal_data.phone", *match.span()) for match in _PHONE.finditer(text) if _is_phone(match[0])]
    return sorted(found, key=lambda finding: finding.start)


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


def _is_phone(text: str) -> bool:
    digits = sum(map(str.isdigit, text))
    return 9 <= digits <= 15 if text.startswith("+") else digits in (10, 11)

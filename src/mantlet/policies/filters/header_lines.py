"""Line ends that start a header or a whole answer: CRLF injection (CWE-93, CWE-113).

A line end alone is no finding, or no text of two lines could be sent: an encoded one with a header behind it is, and a
plain one before a header that only HTTP writes.
"""

import re
from typing import Final

from mantlet.policies.filters.finding import Finding
from mantlet.policies.filters.signs import Signs

_END: Final = r"(?:%(?:25){0,3}0[da]|%u000[da]|%e5%98%8[ad]|%e2%80%a[89]|%c4%8[ad]|\\r|\\n|\\x0[da]|\\u000[da]|&#x?0*(?:d|a|1[03]);?)"
_ENCODED: Final = re.compile(
    rf"{_END}{{1,4}}(?:\s|%20|%09){{0,3}}"
    r"(?:[a-z][a-z0-9-]{1,40}(?::|%3a)|https?/[0-9]|%3c|<|get |post |\+?ok|mail from|rcpt to|bcc)",
    re.IGNORECASE,
)
_PLAIN: Final = re.compile(
    r"[\r\n][ \t]{0,3}(?:set-cookie2?|location|content-(?:length|security-policy|disposition)|transfer-encoding"
    r"|x-forwarded-\w{1,10}|proxy-\w{1,20}|access-control-\w{1,20}(?:-\w{1,20})?|x-xss-protection|refresh|bcc|rcpt to"
    r"|mail from)[ \t]{0,3}:[^\S\r\n]{0,3}\S"
    r"|\r\n(?:https?/[0-9.]{1,3} [0-9]{3}|(?:get|post|put|delete|head|options) /\S{0,200} http/[0-9])",
    re.IGNORECASE,
)


def may(signs: Signs) -> bool:
    """Whether a text with these signs can hold any."""
    return not signs.marks.isdisjoint(_MARKS)


_MARKS: Final = frozenset(b"%\r\\&:")


def find(text: str) -> list[Finding]:
    """Line ends in `text` that begin a header. Takes `text` as it came: what it looks for is the encoding."""
    found = [Finding("headers.encoded_line_end", *match.span()) for match in _ENCODED.finditer(text)]
    if ":" in text or "\r" in text:
        found += [Finding("headers.line", *match.span()) for match in _PLAIN.finditer(text)]
    return sorted(found, key=lambda finding: finding.start)

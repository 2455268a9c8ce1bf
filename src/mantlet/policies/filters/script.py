"""Script and active HTML in a text that a page, a console or a chat window may show (LLM05; OWASP CRS 941).

Only what runs: elements that load or run code, event handlers, script URLs. A `<b>` or a `<table>` is no finding.
"""

import re
from typing import Final

from mantlet.policies.filters.finding import Finding
from mantlet.policies.filters.signs import Signs

MAX_TAG: Final = 400
"""Characters of a tag in which a handler is looked for."""

_TAG: Final = re.compile(
    r"<[\s/\0]{0,8}(?:[a-z]{1,12}:)?"
    r"(?P<tag>script|iframe|frameset|frame|object|embed|applet|base|isindex|noscript|xml|xss|import|foreignobject"
    r"|animate(?:transform|motion)?|set|handler|portal|bgsound|ilayer|layer|meta(?=[\s/][^<>]{0,80}http-equiv))"
    r"(?=[\s/>\0<\"'`+,;]|\Z)"
    r"|<!(?P<declared>\[cdata\[|entity\s|--\[if\s|--#(?:exec|include))"
    r"|<\?(?P<instruction>xml-stylesheet|import)\b",
    re.IGNORECASE,
)
_HANDLER: Final = re.compile(
    r"[\s\"'`/;,\0\x0b)<>]on(?!e\b|line\b|ly\b)(?P<event>[a-z]{3,25})[\s\0]{0,8}=[\s\0]{0,8}(?![=>~])(?P<value>[^\s])",
    re.IGNORECASE,
)
_EVENT: Final = re.compile(
    r"(?:abort|activate|after|animation|auxclick|before|begin|blur|bounce|cached|canplay|change|click|close|contextmenu"
    r"|copy|cuechange|cut|dblclick|deactivate|drag|drop|durationchange|emptied|end|ended|error|finish|focus|formdata"
    r"|fullscreen|gotpointer|hashchange|help|input|invalid|key|layoutcomplete|load|lostpointer|media|message|mouse|move"
    r"|navigate|offline|online|open|page|paste|pause|play|pointer|popstate|progress|property|ratechange|ready|repeat"
    r"|reset|resize|row|scroll|search|security|seek|select|show|slotchange|stalled|start|stop|storage|submit|suspend"
    r"|syncrestored|time|toggle|touch|track|transition|unhandledrejection|unload|url|volumechange|waiting|webkit|wheel"
    r"|zoom|date|data|filter|cellchange|controlselect|location|lose|outofsync|undo|redo|resume|reverse|orientation"
    r"|abort|loaded|snap|command)[a-z]{0,20}",
    re.IGNORECASE,
)
_URL: Final = re.compile(
    r"(?:^|[\s\"'`=(:,;>\x02])(?:j\s?a\s?v\s?a|v\s?b|live)\s?s\s?c\s?r\s?i\s?p\s?t\s?:(?=\s{0,8}[^\s\x02])"
    r"|(?:^|[\s\"'`=(:,;>\x02])data:[a-z/+\s]{0,30}(?:html|xml|svg|javascript)",
    re.IGNORECASE,
)
_CODE: Final = re.compile(
    r"(?:^|[\W_])(?P<call>(?:alert|confirm|prompt|eval|setTimeout|setInterval|Function|import|fetch)[\s\0]{0,4}[(`]"
    r"(?=[\s]{0,4}[\d\"'`/)(a-z\\]))"
    r"|(?P<cookie>document\s?(?:\.|\[[\"'])\s?(?:cookie|write(?:ln)?\b|location|domain)"
    r"|(?:window|self|top|parent|frames|globalthis)\s?\[\s{0,2}[\"'`(\[/+]"
    r"|string\.fromcharcode|\[\s?\]\s?\[\s?[\"'(]?filter|\.constructor\s?\(|srcdoc\s?=|-moz-binding|expression\s?\()",
    re.IGNORECASE,
)
_SHOWS: Final = frozenset(b"<>\"'`&%\\()[]{}")


def may(signs: Signs) -> bool:
    """Whether a text with these signs can hold any."""
    return not signs.marks.isdisjoint(_SHOWS)


def find(text: str) -> list[Finding]:
    """Active content in `text`, its encodings taken off."""
    found: list[Finding] = []
    has_tags = "<" in text
    if has_tags:
        found += [Finding("script.tag", *tag.span()) for tag in _TAG.finditer(text)]
    if "=" in text:
        for handler in _HANDLER.finditer(text):
            if _EVENT.fullmatch(handler["event"]) and _runs(text, handler, has_tags):
                found.append(Finding("script.handler", handler.start() + 1, handler.end()))
    if ":" in text:
        found += [Finding("script.url", *url.span()) for url in _URL.finditer(text)]
    return sorted(found, key=lambda finding: finding.start)


def _runs(text: str, handler: re.Match[str], has_tags: bool) -> bool:
    """Whether a handler stands in a tag, or breaks out of the value of an attribute."""
    at = handler.start()
    if has_tags:
        opened = text.rfind("<", max(0, at - MAX_TAG), at + 1)
        if opened >= 0 and text.find(">", opened, at) < 0:
            return True
    return text[at] in "\"'`" or text[max(0, at - 3) : at].rstrip()[-1:] in ('"', "'", "`", ">")

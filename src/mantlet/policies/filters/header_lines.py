"""Line ends that start a header or a whole answer: CRLF injection (CWE-93, CWE-113).

A line end alone is no finding, or no text of two lines could be sent: an encoded one with a header behind it is, and a
plain one before a header that only HTTP and mail write.
"""

from typing import Final

from mantlet.policies.filters.rules import Rule, Rules

_END: Final = (
    r"(?:%(?:25){0,3}(?:0|%(?:25){0,2}30)(?:[da]|%(?:25){0,2}[46][14])|%%?0[da]0?[da]|%u000[da]"
    r"|%e5%98%8[ad]|%e2%80%a[89]|%c4%8[ad]|\xe5\x98\x8a|\u560a|\u560d)"
)
_SENSITIVE: Final = (
    r"(?:set-cookie2?|location|content-(?:length|security-policy|disposition)|transfer-encoding|x-forwarded-\w{1,10}"
    r"|proxy-\w{1,20}|access-control-[a-z-]{1,40}|x-xss-protection|refresh|bcc|rcpt to|mail from)"
)

RULES: Final = Rules(
    [
        Rule(
            "headers.encoded_line_end",
            rf"{_END}{{1,4}}(?:\s|%20|%09|%3f|\?){{0,3}}"
            r"(?:[a-z][a-z0-9-]{1,40}(?::|%3a|%20?=|=)|https?/[0-9]|%3c|<|get[\s%]|post[\s%]|\+?ok[\s%]|mail from"
            r"|rcpt to|bcc)",
        ),
        # Both of them, encoded, in a value without a blank: an address or a header, and hardly a text of two lines.
        Rule("headers.line_end_in_value", r"\x02[^\s\x02]*(?:%0d|0x0d|\\r|%5cr)(?:%0d|0x0d)?(?:%0a|0x0a|\\n|%5cn)"),
        Rule("headers.escaped_line_end", rf"(?:\\r|\\n|\\x0[da]|\\u000[da]){{1,4}}\s{{0,3}}{_SENSITIVE}\s?:"),
        Rule(
            "headers.line",
            rf"\r\n?[ \t]{{0,3}}{_SENSITIVE}[ \t]{{0,3}}:[ \t]{{0,3}}\S"
            r"|\n[ \t]{0,3}(?:set-cookie2?|transfer-encoding|x-forwarded-\w{1,10}|rcpt to"
            r"|mail from)[ \t]{0,3}:[ \t]{0,3}\S"
            r"|\r\n(?:https?/[0-9.]{1,3} [0-9]{3}|(?:get|post|put|delete|head|options) /[^\s\x02]{0,200} http/[0-9])"
            r"|\x02[^\x02\r\n]*(?:\r\n?|\n)(?:get|post|put|delete|head|options|patch|trace"
            r"|connect)\s{1,4}[^\s\x02]+\s{1,4}http/[0-9]"
            r"|\r\n\r\n\s{0,8}<(?:html|!doctype|script|body)",
        ),
    ]
)
find: Final = RULES.find

"""Shell metacharacters that start another command (CWE-78; OWASP CRS 932).

A metacharacter alone is no finding, nor is the name of a command: only the one before the other is.
"""

import re
from typing import Final

from mantlet.policies.filters.finding import Finding
from mantlet.policies.filters.signs import Signs

_COMMANDS: Final = (
    r"(?:(?:/usr)?(?:/local)?/s?bin/|/\?{2,4}/|/dev/tcp)?"
    r"(?:cat|ls|id|whoami|uname|pwd|wget|curl|nc|ncat|netcat|bash|sh|zsh|dash|ksh|ping|sleep|rm|chmod|chown|python[23]?"
    r"|perl|ruby|php|node|powershell|pwsh|cmd(?:\.exe)?|dir|type|net|ipconfig|ifconfig|netstat|echo|printf|env|printenv"
    r"|ps|kill|mkfifo|telnet|ssh|scp|ftp|tftp|nslookup|dig|base64|xxd|od|head|tail|tac|nl|more|less|awk|sed|find|touch"
    r"|mail|eval|exec|sudo|su|useradd|passwd|crontab|certutil|bitsadmin|rundll32|regsvr32|whois|hostname|date|uptime"
    r"|shutdown|reboot|systeminfo|tasklist|set|cp|mv|tee|grep|system|wmic|mshta|socat|busybox|w|who|last|df|mount)"
)
_START: Final = re.compile(
    rf"(?P<substituted>\$\(\s?{_COMMANDS}(?=[\s)<>|;&$'\"{{])|`\s?{_COMMANDS}(?=[`\s<>|;&$])[^`\n\x02]{{0,60}}`"
    rf"|\$\{{?IFS\b|[<>]\(\s?{_COMMANDS}\s|\$\(\(?<?\s{{0,2}}/|\$\{{[#!@]?[A-Za-z_]\w{{0,20}}(?:[%/#:^,]|\[))"
    rf"|(?P<chained>(?:;|\|\|?|&&?|%0a|\n|\r)\s{{0,4}}['\"(\\{{]{{0,2}}{_COMMANDS}"
    rf"(?=[\s;|&<>)'\"`$#}}]|\Z|\x02))"
    rf"|(?P<redirected>[<>]{{1,2}}\s?/(?:dev/(?:tcp|udp)|etc/(?:passwd|shadow|cron)|tmp/\w|proc/))"
    rf"|(?P<obfuscated>(?:;|\||&|\$\(|`|^|\x02)\s{{0,3}}(?:[a-z]{{1,4}}(?:''|\"\"|\\(?=[a-z])|\$@|\$\*)){{1,6}}[a-z]{{0,6}}"
    rf"(?=[\s;|&/])|\{{(?:cat|ls|wget|curl|echo|ping|id|uname|nc|bash|sh),[^}}\x02]{{1,60}}\}})"
    rf"|(?P<shellshock>\(\)\s?\{{\s?[:;_])",
    re.IGNORECASE,
)
_MARKS: Final = frozenset(b";|&`$<>{\n\r")


def may(signs: Signs) -> bool:
    """Whether a text with these signs can hold any."""
    return not signs.marks.isdisjoint(_MARKS)


def find(text: str) -> list[Finding]:
    """Where `text` would start a command, its encodings taken off."""
    return [
        Finding(f"shell.{match.lastgroup}", *match.span())
        for match in _START.finditer(text)
        if match.lastgroup != "chained" or match[0][0] not in "\n\r"
    ]

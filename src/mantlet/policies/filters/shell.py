"""Shell metacharacters that start another command (CWE-78; OWASP CRS 932).

A metacharacter alone is no finding, nor is the name of a command: only the one before the other is. Names that are
words too (`| date |` in a table) count where the whole value is one short line, as injected values are.
"""

from typing import Final

from mantlet.policies.filters.rules import Rule, Rules

_PATH: Final = r"(?:/?(?:usr/)?(?:local/)?s?bin/)?"
_STRONG: Final = (
    rf"{_PATH}(?:whoami|uname|wget\s|curl\s|nc(?:at)?\s-|netcat\s|(?:ba|z|da|k)?sh\s{{1,3}}-[ci]"
    rf"|ping\s{{1,3}}-[cn]|ipconfig"
    r"|ifconfig|netstat\s|cat\s{1,3}[/.~$]|ls\s{1,3}[-/]|rm\s{1,3}-|chmod\s{1,3}[+0-7u]|powershell"
    r"|cmd(?:\.exe)?\s{1,3}/c"
    r"|nslookup\s|certutil\s|mkfifo\s|telnet\s|base64\s{1,3}-d|phpinfo\(|system\(|passthru\(|shell_exec\("
    r"|sleep\s{1,3}\d"
    r"|nohup\s|crontab\s|useradd\s|systeminfo|tasklist|bitsadmin|mshta\s|regsvr32|rundll32)"
)
_WEAK: Final = (
    rf"{_PATH}(?:id|pwd|ls|dir|cat|echo|type|date|env|set|ps|who|w|uptime|hostname|head|tail|more|less|find|grep"
    rf"|touch|net"
    r"|ping|sleep|curl|wget|nc|sh|bash|python[23]?|perl|ruby|php|node|printenv|netstat|which|cp|mv|tee|sort|last"
    r"|df|mount"
    r"|kill|dig|ssh|xxd|od|awk|sed|rm|arp|ver|reboot|shutdown|exec|eval|netsh|reg|sysinfo|route|ip)"
)
_NEXT: Final = r"(?:;|\|{1,2}|&{1,2}|\$\(|%0a|\n|\r)[\s'\"({\\]{0,6}"
_LINE: Final = r"[^\x02\n\r]*"
"""Without a bound: a count before a long list of words makes an automaton that takes a second to build."""

RULES: Final = Rules(
    [
        Rule("shell.chained", rf"(?:;|\|{{1,2}}|&{{1,2}}|\$\(|`)[\s'\"({{\\]{{0,4}}{_STRONG}"),
        Rule(
            "shell.value",
            rf"\x02{_LINE}{_NEXT}{_WEAK}(?:[\s;|&<>)'\"`$#}}/\\]{_LINE}[\r\n]?|[\r\n\\]{{0,2}})\x02"
            rf"|\x02[\r\n]\s{{0,3}}(?:{_STRONG}|{_WEAK}[\s\x02])"
            rf"|\x02[^\s`\x02]{{0,60}}`\s?{_WEAK}[^`\x02]{{0,60}}`|\x02\\[nr]\s?/?(?:usr/)?s?bin/",
        ),
        Rule(
            "shell.expansion",
            r"\x02\s?(?:\$|[<>])\(\s?[a-z]{2,20}[\s\w]{0,40}\)\s?\x02|/etc/[a-z/]{0,12}\[[^\]\s\x02]{1,12}\]"
            r"|/\[[^\]\s\x02]{1,12}\][a-z]{1,3}/|\$\{?IFS|\$\(\(?<\s?/|[<>]\(\s?(?:cat|curl|wget|ls|id)\s"
            r"|\{(?:cat|ls|wget|curl|echo|ping|nc|bash"
            r"|sh),[^}\x02]{1,60}\}"
            r"|\$\{@?(?:print|system|eval)\(|\(\)\s?\{\s?[:;_]\s?[;}]|/\?{2,4}/[\w?]{1,8}[\s?]"
            r"|(?:;|\||&|\$\(|`|\x02)\s?(?:[a-z]{1,4}(?:''|\"\"|\\|\$@|\$\*)){1,6}[a-z]{1,6}[\s/;|&]{1,3}[/\w$?*]",
        ),
        # A value that is a command and nothing else: to whom it is given as a name or a word, it is one too many.
        Rule(
            "shell.command",
            rf"\x02\s{{0,3}}(?:{_STRONG}|{_PATH}(?:cat|head|tail|less|more|type)\s{{1,3}}[^\x02\n]{{0,40}}(?:/etc/"
            rf"|[a-z]:\\|/\[)"
            r"|(?:net(?:sh|stat)?|reg|dir|perl|python[23]?|ruby|nc)\s{1,3}(?:-[a-z]|user|view|localgroup|firewall"
            r"|add|[a-z]:\\))"
            r"[^\x02\n]*\x02",
        ),
        Rule(
            "shell.code",
            r"\x02[^\x02\na-z]{0,8}(?:eval|exec|system|passthru|popen|shell_exec|proc_open)\(\s?['\"][^\x02\n]*\x02"
            r"|<\?(?:php|=)\s[^\x02]{0,80}?(?:system|exec|passthru|eval|shell_exec|popen|include)\s?\("
            r"|\{\$\{\s?[a-z_]{2,20}\("
            r"|\x02[\s;:]{0,3}php(?:info|version)\(|\x02[^\x02\n]{0,20}\$_(?:get|post|request|cookie)\["
            r"|:\(\)\s?\{\s?:\s?\|",
        ),
        Rule(
            "shell.windows",
            r"(?:[\x02;|&(\n\"']\s?)for\s{1,24}(?:/[dflr]\s[^\x02\n]{0,120}?)?%{1,2}[^\s\x02]{0,12}\s{1,8}in\s{0,8}\("
            r"|\x02[&|;\s]{0,4}if\s{1,16}(?:/i\s{1,8})?(?:not\s{1,8})?(?:exist|defined|errorlevel"
            r"|cmdextversion)\s{1,8}\S"
            r"|[\s%\"'0-9](?:equ|neq|lss|leq|gtr|geq)\s{1,4}[\"'0-9%]"
            r"|\x02if\s{1,16}(?:/i\s{1,8})?(?:not\s{1,8})?[\"'%\w]{1,40}==[^\x02\n]*\x02"
            r"|(?:[\x02;|&(\s\"']\s?)(?:invoke-(?:expression|webrequest|restmethod|command|wmimethod|item|mimikatz)"
            r"|start-(?:process|bitstransfer)|add-mppreference|set-executionpolicy"
            r"|new-object\s{1,4}(?:system\.)?net)[\s\x02(]"
            r"|[\x02;|&(]\s?(?:iex|iwr|irm|iwmi)\s{1,4}[\S]|\x02\s?(?:powershell|pwsh)(?:\.exe)?\s",
        ),
        Rule(
            "shell.redirect",
            r"[<>]{1,2}\s?/(?:dev/(?:tcp|udp)|etc/(?:passwd|shadow|cron)|proc/)|/dev/tcp/\d|<!--#exec\s",
        ),
    ]
)
find: Final = RULES.find

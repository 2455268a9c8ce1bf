"""SQL that breaks out of a value (OWASP CRS 942): a quote and then logic, a second statement, a function that waits.

SQL as such is no finding: an agent that writes queries writes SQL.
"""

import re
from typing import Final

from mantlet.policies.filters.rules import Rule, Rules

_S: Final = r"(?:[\s+(\x0b\xa0]|/\*[^*\x02]{0,40}\*/)"
"""What may stand between two words of SQL."""
_BREAK: Final = r"(?:[\"'`][\s)]{0,4}|[\x02=]\s?-?\d{1,10}[\s)\"']{0,4})"
"""The end of a value: a quote, or a number that stands for itself."""
_AND: Final = r"(?:x?or|and|\|\||&&|having|where|r?like|regexp)"
_COMPARE: Final = r"(?:<=>|<>|!=|>=|<=|=|>|<|r?like|regexp|is|in|between)"


def _is_always(match: re.Match[str]) -> bool:
    """Whether a comparison compares what can be known: two numbers, a thing with itself, or with an open quote."""
    left, right = match[2].strip().casefold(), match[3].strip().casefold()
    return left == right or (left[:1].isdigit() and right[:1].isdigit()) or (not right and left[:1].isdigit())


RULES: Final = Rules(
    [
        Rule("sql.union", rf"[^a-z0-9_]union{_S}{{1,8}}(?:(?:all|distinct){_S}{{1,8}})?select[^a-z0-9_]"),
        Rule(
            "sql.logic",
            rf"({_BREAK}{_S}{{0,6}}{_AND}(?:{_S}|not\s){{0,6}}[\"'`]{{0,2}}([\w%.-]{{0,20}})[\"'`)]{{0,3}}{_S}{{0,4}}"
            rf"{_COMPARE}{_S}{{0,4}}[\"'`]{{0,2}}([\w%.-]{{0,20}}))",
            _is_always,
        ),
        Rule(
            "sql.condition",
            rf"{_BREAK}{_S}{{0,6}}{_AND}{_S}{{0,6}}(?:not\s)?(?:sleep|benchmark|pg_sleep|exists|ascii|substr"
            rf"|substring|mid"
            rf"|ord|length|char|extractvalue|updatexml|elt|make_set|randomblob|row|case|if|select)\s?\("
            rf"|{_BREAK}{_S}{{0,6}}(?:x?or|and){_S}{{1,6}}(?:true|false|\d{{1,4}}){_S}{{0,4}}(?:--|#|;|\x02)"
            rf"|[\"'`]\s?(?:\|\||\+)\s?\(\s?select[\s(]|[\"'`]\s?(?:=|\|\||&&|-|\+|\*|%|\^)\s?[\"'`]\x02",
        ),
        Rule(
            "sql.waits",
            r"waitfor\s{1,4}(?:delay|time)\s{0,4}['\"(]|(?:pg_sleep|dbms_pipe\.receive_message|dbms_lock\.sleep)\s?\("
            r"|[^a-z_.]benchmark\s?\(\s?\d{3,}|randomblob\s?\(\s?\d{4,}"
            r"|(?:[^a-z](?:x?or|and|select|if)|['\"\d;=,])[\s(]{1,4}sleep\s?\(\s?[\"']?\d{1,4}",
        ),
        Rule(
            "sql.reads",
            rf"load_file\s?\(\s?[\"'(0xc]|into{_S}{{1,8}}(?:out|dump)file[^a-z]|xp_(?:cmdshell|dirtree|regread)"
            rf"|utl_(?:http|inaddr)\.\w|(?:extractvalue|updatexml)\s?\(\s?[\w\"'(@]"
            rf"|from{_S}{{1,8}}(?:information_schema|sysobjects|sqlite_master|pg_(?:catalog|shadow|user)|mysql\.user"
            rf"|sys\.\w|all_tables|v\$version)|[^a-z]select{_S}{{1,8}}(?:@@version|version\(\)|user\(\)|database\(\))"
            rf"|@@(?:version|datadir|hostname)|openrowset\s?\(|procedure{_S}{{1,8}}analyse\s?\(|sp_(?:password"
            rf"|oacreate)",
        ),
        Rule(
            "sql.stacked",
            r"[\"'`)\d]\s{0,4}\)?\s{0,4};\s{0,4}(?:drop|delete|insert|update|exec|execute|shutdown|truncate"
            r"|declare|waitfor"
            r"|alter|grant)[\s(+]{1,8}(?:table|database|from|into|user|schema|view|procedure|login|@|xp_|sp_"
            r"|master|delay"
            r"|immediate|with|\w{1,30}\s{1,4}set)",
        ),
        Rule(
            "sql.comment",
            r"[\"'`][\s)]{0,4}(?:;\s?)?(?:--[\s+-]{0,4}|#\s{0,2}|/\*\s{0,2})\x02"
            r"|[\x02=]\s?-?\d{1,10}[)'\"]{0,2}\s?(?:--|#)[\s-]{0,3}\x02|/\*!\d{0,5}\s?(?:union|select|or|and|sleep)",
        ),
        Rule(
            "sql.order",
            rf"{_BREAK}{_S}{{1,4}}(?:order|group){_S}{{1,4}}by{_S}{{1,4}}\d{{1,4}}{_S}{{0,4}}(?:,|--|#|\x02)",
        ),
    ]
)
find: Final = RULES.find

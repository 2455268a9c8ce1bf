"""SQL that breaks out of a value (OWASP CRS 942): a quote and then logic, a second statement, a function that waits.

SQL as such is no finding: an agent that writes queries writes SQL.
"""

import re
from typing import Final

from mantlet.policies.filters.finding import Finding
from mantlet.policies.filters.signs import Signs

_S: Final = r"(?:[\s+(\x0b\xa0]|/\*[^*/\x02]{0,40}\*/)"
"""What may stand between two words of SQL."""

WORDS: Final = frozenset(
    b"union sleep benchmark pg_sleep waitfor xp_cmdshell xp_dirtree information_schema load_file outfile dumpfile"
    b" extractvalue updatexml sysobjects syscolumns sysusers dbms_pipe dbms_lock utl_http utl_inaddr pg_read_file"
    b" sp_password sp_executesql xp_regread openrowset having shutdown sp_oacreate group_concat randomblob"
    b" sqlite_master pg_catalog make_set elt ctxsys xmltype generate_series lo_import master sysdatabases procedure"
    b" version user_name db_name current_user user database char chr nchar concat ascii substring substr mid".split()
)
_QUOTES: Final = frozenset(b"'\"`;)")
_OPERATORS: Final = frozenset(b"=<>|&#-")

_ANYWHERE: Final = re.compile(
    rf"\bunion{_S}{{1,8}}(?:(?:all|distinct){_S}{{1,8}})?(?:select|values)\b"
    rf"|\b(?P<waits>waitfor\s{{1,4}}(?:delay|time)\s{{0,4}}['\"(]"
    rf"|(?:pg_sleep|dbms_pipe\.receive_message|dbms_lock\.sleep|randomblob)\s?\("
    rf"|benchmark\s?\(\s?\d{{3,}}|(?<![.\w])sleep\s?\(\s?\d{{1,4}}\s?\)\s?(?:and|or|--|#|=|'|\"|\)|\Z|\x02))"
    rf"|\b(?P<reads>load_file\s?\(\s?[\"'(0xc]|into{_S}{{1,8}}(?:out|dump)file\b|xp_(?:cmdshell|dirtree|regread)\b"
    rf"|utl_(?:http|inaddr)\.\w|(?:extractvalue|updatexml)\s?\(\s?[\w\"'(@]|from{_S}{{1,8}}(?:information_schema\b"
    rf"|sysobjects\b|sqlite_master\b|pg_(?:catalog|shadow|user)\b|mysql\.user\b|sys\.\w|all_tables\b|v\$version)"
    rf"|select{_S}{{1,8}}(?:@@version|version\(\)|user\(\)|database\(\)|current_user)"
    rf"|openrowset\s?\(|procedure{_S}{{1,8}}analyse\s?\(|sp_(?:password|executesql|oacreate)\b)",
    re.IGNORECASE,
)
_AFTER_QUOTE: Final = re.compile(
    rf"(?P<open>[\"'`)]|(?:^|[\s\x02=(])-?\d{{1,10}})"
    rf"(?:(?P<logic>{_S}{{0,8}}(?:\|\||&&|x?or\b|and\b|having\b|like\b|between\b|rlike\b|where\b|not\b)"
    rf"{_S}{{0,8}}(?:not{_S}{{1,4}})?"
    rf"(?:(?P<q>[\"'`]?)(?P<left>[\w%]{{1,20}})(?P=q)?\)?{_S}{{0,4}}(?:=|<>|!=|<=>|>=?|<|like\b|in\b|is\b|between\b)"
    rf"{_S}{{0,4}}[\"'`(]{{0,3}}(?:(?P=left)|\d|[\"'`)]|\w{{1,20}}[\"'`]?)"
    rf"|(?:sleep|benchmark|pg_sleep|exists|ascii|substr(?:ing)?|mid|ord|length|char|if|case|select|extractvalue"
    rf"|updatexml|randomblob|row|elt|make_set)\b{_S}{{0,4}}[(]|(?P=open){_S}{{0,2}}(?:--|#|\Z|\x02|=|like)"
    rf"|(?:true|1)\b{_S}{{0,4}}(?:--|#|;|\Z|\x02)|\(?{_S}{{0,4}}select\b))"
    rf"|(?P<stacked>\)?\s{{0,4}};\s{{0,4}}(?:drop|delete|insert|update|exec(?:ute)?|shutdown|create|alter|declare|select"
    rf"|waitfor|truncate|grant|begin|copy|if)\b\s{{0,4}}[\w@'\"(*;-])"
    rf"|(?P<comment>\)?\s{{0,4}}(?:--[\s+-]{{0,4}}|#\s{{0,2}}|/\*\s{{0,2}}|;%00|;--\s{{0,2}})(?:\Z|\x02))"
    rf"|(?P<order>{_S}{{1,4}}(?:order|group){_S}{{1,4}}by{_S}{{1,4}}\d{{1,4}}{_S}{{0,4}}(?:,|--|#|\Z|\x02))"
    rf"|(?P<sum>{_S}{{0,3}}(?:\|\||\+){_S}{{0,3}}\(?{_S}{{0,3}}select\b))",
    re.IGNORECASE,
)


def may_by_words(signs: Signs) -> bool:
    """Whether a text with these signs can hold what `find_words` finds."""
    return not WORDS.isdisjoint(signs.words)


def may_by_quotes(signs: Signs) -> bool:
    """Whether a text with these signs can hold what `find_breakouts` finds."""
    return not _QUOTES.isdisjoint(signs.marks) or (signs.digits > 0 and not _OPERATORS.isdisjoint(signs.marks))


def find(text: str) -> list[Finding]:
    """SQL that no value of a query needs, in `text`, its encodings taken off."""
    return sorted(find_words(text) + find_breakouts(text), key=lambda finding: finding.start)


def find_words(text: str) -> list[Finding]:
    """Functions and clauses that only an attack puts into a value."""
    return [Finding(f"sql.{match.lastgroup or 'union'}", *match.span()) for match in _ANYWHERE.finditer(text)]


def find_breakouts(text: str) -> list[Finding]:
    """What follows a quote or a number and is no value any more."""
    found: list[Finding] = []
    for match in _AFTER_QUOTE.finditer(text):
        kind = next(name for name in ("logic", "stacked", "comment", "order", "sum") if match[name] is not None)
        found.append(Finding(f"sql.{kind}", *match.span()))
    return found

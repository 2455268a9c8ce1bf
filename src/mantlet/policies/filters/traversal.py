"""Paths that lead out of where they should (VAL-05; CWE-22, CVE-2026-32871).

Judged is an argument, not a text: one that is called a path, or is nothing but one. What an essay says about `../..` is
no finding. The value comes decoded to a fixed point.
"""

import re
from typing import Final

from mantlet.policies.filters.rules import Matcher

MAX_PATH: Final = 4_096
"""Characters of a path."""

_UP: Final = re.compile(
    r"(?:^|[/\\:;=?&\s\"'\0|])\.{2,}(?:;[^/\\]{0,40})?(?:[/\\\0:]|$)|\.\.[\s.]{0,4}[/\\]|/\.{1,2};/"
)
_UNC: Final = re.compile(r"^[\\/]{2}[^\\/\s]{1,255}[\\/]|^\\\\|^(?:smb|nfs)://", re.IGNORECASE)
_DEVICE: Final = re.compile(
    r"^(?:\\\\|//)[.?][\\/]|^/(?:dev|proc|sys)(?:/|$)|(?:^"
    r"|[/\\])(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.[^/\\]{0,20})?$"
    r"|\\\\\.\\pipe",
    re.IGNORECASE,
)
_FILE_URL: Final = re.compile(
    r"^(?:file|php|phar|zip|compress\.zlib|glob|data|expect|jar|netdoc|dict|ogg|rar"
    r"|view-source)\s{0,2}:(?=[/\\]{1,3}|[^ ]*[,;])",
    re.IGNORECASE,
)
_ABSOLUTE: Final = re.compile(r"^\s{0,4}(?:[/\\]|[A-Za-z]:(?:[/\\]|$)|~[\w.-]{0,32}(?:[/\\]|$))")
_TARGET: Final = re.compile(
    r"(?:^|[/\\])(?:etc[/\\]+(?:passwd|shadow|hosts|group|issue|sudoers|ssh|cron\w{0,8}|fstab|motd|mysql|apache\d?|httpd|nginx)"
    r"|windows[/\\]+(?:system32|win\.ini|system\.ini|repair)|winnt[/\\]|boot\.ini|win\.ini"
    r"|(?:root|home/[^/\\]{1,64})[/\\]+\.|proc[/\\]+(?:self|version|cmdline|\d)|\.ssh(?:[/\\]|$)|\.aws(?:[/\\]|$)"
    r"|\.git[/\\]+(?:config|head|objects)|\.env$|\.htaccess$|\.htpasswd$|id_rsa|web-inf[/\\]|web\.config$|wp-config\.php)",
    re.IGNORECASE,
)


may: Final = Matcher(
    r"(?i)[/\\\x00~]|\.\.|[a-z]:\x02|(?:data|php|phar|expect)\s?:|[^a-z0-9](?:con|prn|aux|nul|com[0-9]|lpt[0-9])[.\x02]"
).is_in
"""Whether a text with its edges has any mark of a path."""


def judge(value: str, *, is_called_path: bool, is_uri: bool = False) -> str:
    """The rule that `value` breaks, or an empty text. `is_uri`: a resource's own name, where `file:` is at home."""
    if is_called_path and len(value) > MAX_PATH:
        return "traversal.long"  # no system takes it (PATH_MAX), so what may be in it is not looked for
    if not is_called_path and (len(value) > MAX_PATH or "\n" in value.strip() or value.count(" ") > 2):
        return ""
    if _UP.search(value):
        return "traversal.up"
    if "\0" in value:
        return "traversal.nul" if is_called_path or "/" in value or "\\" in value else ""
    if is_uri:
        return ""
    if _FILE_URL.search(value):
        return "traversal.file_url"
    if _DEVICE.search(value) and (is_called_path or "/" in value or "\\" in value):
        return "traversal.device"
    if (is_called_path or not value.startswith("//")) and _UNC.search(value):
        return "traversal.unc"
    if _TARGET.search(value):
        return "traversal.target"
    if is_called_path and _ABSOLUTE.search(value):
        return "traversal.absolute"
    return ""

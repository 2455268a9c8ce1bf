"""What the name of an argument says about its value."""

import re
from functools import lru_cache
from typing import Final

_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_PATHS: Final = frozenset(
    {
        "path",
        "paths",
        "file",
        "files",
        "filename",
        "filenames",
        "filepath",
        "filepaths",
        "dir",
        "dirs",
        "directory",
        "directories",
        "dirname",
        "folder",
        "folders",
        "location",
        "src",
        "source",
        "dest",
        "dst",
        "destination",
        "cwd",
        "workdir",
        "root",
        "template",
        "include",
        "attachment",
        "pathname",
        "basename",
        "workspace",
        "repo",
        "repository",
    }
)
_URLS: Final = frozenset(
    {
        "url",
        "urls",
        "uri",
        "uris",
        "link",
        "links",
        "href",
        "endpoint",
        "webhook",
        "callback",
        "host",
        "hostname",
        "server",
        "domain",
        "address",
        "site",
        "website",
        "feed",
        "proxy",
        "origin",
        "redirect",
        "image",
    }
)


@lru_cache(4_096)
def is_path(name: str) -> bool:
    """Whether an argument called `name` is a path."""
    return not _PATHS.isdisjoint(_words(name))


@lru_cache(4_096)
def is_url(name: str) -> bool:
    """Whether an argument called `name` is an address."""
    return not _URLS.isdisjoint(_words(name))


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name[:128])]

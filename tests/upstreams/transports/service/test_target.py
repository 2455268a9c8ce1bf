import pytest

from mantlet.core.refusal import Malformed
from mantlet.upstreams.client import parse
from mantlet.upstreams.transports.service.target import Place


def place(url: str = "http://h:81/base", theirs: bytes = b"/base", ours: str = "/api/x") -> Place:
    return Place(parse(url, is_plain_allowed=True), theirs, ours)


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        ("/", b"", b"/base/"),
        ("/a/b", b"", b"/base/a/b"),
        ("/a/b/", b"x=1&y=%20", b"/base/a/b/?x=1&y=%20"),
        ("/a b", b"", b"/base/a%20b"),
        ("/caf\u00e9/\u65e5", b"", b"/base/caf%C3%A9/%E6%97%A5"),
        ("/a;b?c#d%e\\f", b"", b"/base/a%3Bb%3Fc%23d%25e%5Cf"),
        ("/a:b@c+d,e=f", b"", b"/base/a:b@c+d,e=f"),
        ("/...", b"", b"/base/..."),
        ("/.hidden", b"", b"/base/.hidden"),
        ("/x\r\ny: z", b"", b"/base/x%0D%0Ay:%20z"),
    ],
)
def test_a_path_stays_one_path_below_the_root(path: str, query: bytes, target: bytes) -> None:
    """EGR-03"""
    assert place().target(path, query) == target


@pytest.mark.parametrize("path", ["", "a", "/..", "/../x", "/a/../../x", "/.", "/a/./b"])
def test_a_path_that_would_leave_its_root_is_refused(path: str) -> None:
    """EGR-03, HTTP-10"""
    with pytest.raises(Malformed):
        place().target(path, b"")


@pytest.mark.parametrize(
    ("value", "here"),
    [
        (b"/base/new", b"/api/x/new"),
        (b"/base", b"/api/x"),
        (b"/base/", b"/api/x/"),
        (b"/base/new?a=1&b=%2F#part", b"/api/x/new?a=1&b=%2F"),
        (b"http://h:81/base/new", b"/api/x/new"),
        (b"HTTP://H:81/base/new", b"/api/x/new"),
        (b"//h:81/base/new", b"/api/x/new"),
        (b"new", b"/api/x/files/new"),
        (b"./new", b"/api/x/files/new"),
        (b"../new", b"/api/x/new"),
        (b"?page=2", b"/api/x/files/1?page=2"),
        (b"/base/a%20b", b"/api/x/a%20b"),
    ],
)
def test_a_location_below_the_root_is_one_below_the_prefix(value: bytes, here: bytes) -> None:
    """FWD-05"""
    assert place().location(value, b"/base/files/1") == here


@pytest.mark.parametrize(
    "value",
    [
        b"/",
        b"/other",
        b"/basement",
        b"../../other",
        b"../../../../etc",
        b"https://h:81/base/new",
        b"http://h/base/new",
        b"http://evil.example/base/new",
        b"//evil.example/base",
        b"http://user@h:81/base/new",
        b"http://h:81@evil.example/base/new",
        b"http:\\\\evil.example\\base",
        b"/base/%2e%2e/other",
        b"/base/..%2fother",
        b"/base/a%2fb",
        b"/base/a;b",
        b"/base//evil.example",
        b"/base/%00",
        b"/base/\x80",
        b"javascript:alert(1)",
        b"http://[::1/base",
        b"/base/" + b"x" * 8192,
    ],
)
def test_any_other_location_is_nowhere(value: bytes) -> None:
    """FWD-05, EGR-03"""
    assert place().location(value, b"/base/files/1") is None


def test_a_root_at_the_top_has_everything_below_it() -> None:
    top = place("http://h/", b"")
    assert top.target("/a", b"") == b"/a"
    assert top.location(b"/new", b"/a") == b"/api/x/new"
    assert top.location(b"//h/new", b"/a") == b"/api/x/new"

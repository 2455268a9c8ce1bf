import pytest

from mantlet.policies.services.route import Route, Routes


def route(name: str, prefix: str = "", **more: object) -> Route:
    given = {"verbs": ("GET",), "media": frozenset({"application/json", "image/*"}), "max_body_bytes": 10}
    return Route(name=name, prefix=prefix or f"/api/{name}", max_json_bytes=10, **{**given, **more})  # type: ignore[arg-type]


ROUTES = Routes([route("dfs"), route("deep", "/api/v2/dfs"), route("deeper", "/api/dfs/archive")])


@pytest.mark.parametrize(
    ("path", "name", "below"),
    [
        ("/api/dfs", "dfs", "/"),
        ("/api/dfs/", "dfs", "/"),
        ("/api/dfs/files/a b/c", "dfs", "/files/a b/c"),
        ("/api/v2/dfs/x", "deep", "/x"),
        ("/api/dfs/archive", "deeper", "/"),
        ("/api/dfs/archive/2020", "deeper", "/2020"),
        ("/api/dfs/archives", "dfs", "/archives"),
    ],
)
def test_a_path_belongs_to_the_longest_prefix_it_is_below(path: str, name: str, below: str) -> None:
    found = ROUTES.find(path)
    assert found is not None
    assert (found[0].name, found[1]) == (name, below)


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/df", "/api/dfsx", "/api/DFS", "/api/v2", "/api/v2/", "/api/v2/x"]
)
def test_any_other_path_belongs_to_nobody(path: str) -> None:
    """TOOL-05"""
    assert ROUTES.find(path) is None


def test_without_services_nothing_is_found() -> None:
    assert Routes([]).find("/api/dfs") is None


def test_two_services_have_no_place_in_common() -> None:
    with pytest.raises(ValueError, match="one and other have the same prefix"):
        Routes([route("one", "/api/x"), route("other", "/api/x")])


@pytest.mark.parametrize(
    ("media", "takes"),
    [("application/json", True), ("image/png", True), ("application/xml", False), ("imagex/png", False)],
)
def test_types_are_taken_by_list(media: str, takes: bool) -> None:
    assert route("one").takes(media) is takes

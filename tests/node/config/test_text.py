import pytest

from mantlet.node.config.problem import ConfigErrors
from mantlet.node.config.text import MAX_NODES, read_file, read_toml, read_yaml
from mantlet.node.config.tree import at


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("mode: off", {"mode": "off"}),
        ("answer: no", {"answer": "no"}),
        ("at: 12:30", {"at": "12:30"}),
        ("day: 2026-11-21", {"day": "2026-11-21"}),
        ("on: true\noff: False", {"on": True, "off": False}),
        ("port: 8000\nhex: 0x10\nmode: 0600", {"port": 8000, "hex": 16, "mode": "0600"}),
        ("age: 1.5\nnothing: ~\nalso:", {"age": 1.5, "nothing": None, "also": None}),
        ("base: &b {x: 1, y: 2}\nown: {<<: *b, y: 3}", {"base": {"x": 1, "y": 2}, "own": {"x": 1, "y": 3}}),
        ('{"json": [1, "two", null]}', {"json": [1, "two", None]}),
        ("", {}),
        ("# only a comment", {}),
    ],
)
def test_yaml_is_read_as_version_1_2_means_it(text: str, value: object) -> None:
    assert read_yaml(text, "f.yaml").plain == value


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3", 3, "stands twice; the first is on line 1"),
        ("a:\n  b: 1\n  b: 2", 3, "a.b"),
        ("a: 1\nb: [", 2, "is not YAML"),
        ("a: 1\n\tb: 2", 2, "is not YAML"),
        ("- 1\n- 2", 1, "mapping"),
        ("just text", 1, "mapping"),
        ("a: !!python/object/apply:os.system [ls]", 1, "unknown kind"),
        ("a: !!binary aGk=", 1, "unknown kind"),
        ("? [1, 2]\n: 3", 1, "not a word"),
        ("a: *nowhere", 1, "alias"),
        ("a: {url: ${URL}}", 1, 'must be quoted: "${VAR}"'),
    ],
)
def test_a_fault_in_yaml_is_told_with_its_line(text: str, line: int, words: str) -> None:
    """CFG-02"""
    with pytest.raises(ConfigErrors) as caught:
        read_yaml(text, "f.yaml")
    [problem] = caught.value.problems
    assert problem.origin.where == "f.yaml"
    assert problem.origin.line == line
    assert words in str(problem)


def test_values_know_their_lines() -> None:
    tree = read_yaml("http:\n  host: h\n\n  port: 1\nlist:\n- a\n- b: 2\n", "f.yaml")
    lines = {path: at(tree, path).origin.line for path in [("http", "port"), ("list", 0), ("list", 1, "b")]}  # type: ignore[union-attr]
    assert lines == {("http", "port"): 4, ("list", 0): 6, ("list", 1, "b"): 7}


def test_aliases_that_unfold_into_too_much_are_refused() -> None:
    levels = "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(8))
    with pytest.raises(ConfigErrors, match=str(MAX_NODES)):
        read_yaml("a: &a [1, 2]\n" + levels, "bomb.yaml")


def test_toml_is_read_with_lines() -> None:
    text = 'debug = true\n\n[http]\nport = 1\n\n[[mcp.servers]]\nname = "a"\n\n[[mcp.servers]]\nname = "b"\nurl = "u"\n'
    tree = read_toml(text, "f.toml")
    assert tree.plain == {
        "debug": True,
        "http": {"port": 1},
        "mcp": {"servers": [{"name": "a"}, {"name": "b", "url": "u"}]},
    }
    lines = {path: at(tree, path).origin.line for path in [("http", "port"), ("mcp", "servers", 1, "url")]}  # type: ignore[union-attr]
    assert lines == {("http", "port"): 4, ("mcp", "servers", 1, "url"): 11}


@pytest.mark.parametrize(("text", "line"), [("a = 1\nb = ", 2), ("a = 1\na = 2", 2), ("d = 2026-11-21", 1)])
def test_a_fault_in_toml_is_told_with_its_line(text: str, line: int) -> None:
    with pytest.raises(ConfigErrors) as caught:
        read_toml(text, "f.toml")
    assert caught.value.problems[0].origin.line == line


def test_a_file_that_cannot_be_read_is_named(tmp_path) -> None:
    for path, words in [(tmp_path / "none.yaml", "No such file"), (tmp_path, "directory")]:
        with pytest.raises(ConfigErrors, match=words) as caught:
            read_file(str(path))
        assert str(path) in str(caught.value)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: 1\nb: \xff")
    with pytest.raises(ConfigErrors, match=r"latin\.yaml:2: is not UTF-8"):
        read_file(str(latin))

import pytest

from mantlet.policies.authorize.conditions import compile_condition, words
from mantlet.policies.authorize.conditions.condition import MAX_EXPRESSION_CHARACTERS


@pytest.mark.parametrize(
    ("expression", "uses"),
    [
        ("args.size < 100", {"args": {"size"}}),
        ("args . size\n== 1 // args.other", {"args": {"size"}}),
        ("args['size'] < 100", {"args": None}),
        ("args.size() == 2", {"args": None}),
        ("args.exists(name, name == 'x')", {"args": None}),
        ("{'a': args}.a.b == 1", {"args": None}),
        ("has(args.a) && args.b.args.caller == 1", {"args": {"a", "b"}}),
        ("args.tags.exists(tag, tag == tool)", {"args": {"tags"}, "tool": None}),
        ("'caller.foo' == tool", {"tool": None}),
        (r"tool.startsWith(r'\') || tool == 'args.x'", {"tool": None}),
        (r"'\'args' == tool && b'args' != br'\'", {"tool": None}),
        ("'''args'' ''' == tool", {"tool": None}),
        ("'admin' in caller.roles", {"caller": {"roles"}}),
        ("caller == caller", {"caller": None}),
        ("time.hour >= 9 && time.timestamp.getHours() < 17", {"time": {"hour", "timestamp"}}),
        ("type(args.x) == int", {"args": {"x"}}),
        ("inNetwork(address, '10.0.0.0/8')", {"address": None}),
        ("method == 'tools/call' && target == tool && server != ''",
         {"method": None, "target": None, "tool": None, "server": None}),
        ("1.5e3 < double(args.x)", {"args": {"x"}}),
        ("true", {}),
    ],
)  # fmt: skip
def test_what_an_expression_speaks_of(expression: str, uses: dict[str, set[str] | None]) -> None:
    assert words.read(expression).variables == uses
    compile_condition(expression)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "line 1, character 1"),
        ("args.size <", "line 1, character 12"),
        ("args.size\n< ", "line 2, character"),
        ("callr.tenant == 'x'", "callr at character 1 is no variable: did you mean caller"),
        ("tool == 'x' && caller.role == 'x'", "role at character 23 is no member of caller: did you mean roles"),
        ("time.hours == 1", "hours at character 6 is no member of time: did you mean hour"),
        ("lower(tool) == 'x'", "lower at character 1 is no function"),
        ("tool.lowerAscii() == 'x'", "no function"),
        ("args.a.map(x, x).size() > 1", "map at character 8 is not offered; use all, exists or exists_one"),
        ("args.a.filter(x, x > 1).size() > 1", "filter at character 8 is not offered"),
        ("args.a.all(x, args.b.all(y, x == y))", "all at character 22"),
        (" || ".join(["args.a.all(x, x)"] * 5), "at most 4 walks"),
        ("args.a.exists(tool, tool == 'x')", "gives its element the name of the variable tool"),
        ("tool.matches(args.pattern)", "with the pattern itself"),
        ("matches(tool, 'x')", "with the pattern itself"),
        ("tool.matches('a' + args.b)", "with the pattern itself"),
        ("tool.matches(r'(')", "the pattern r'(' cannot be read"),
        ("tool.matches('(?=x)')", "cannot be read"),
        ("inNetwork(address, '10.0.0.1/8')", "10.0.0.1/8 has host bits set"),
        ("inNetwork(address, args.network)", "with the network itself"),
        (".args.x == 1", "neither variable nor function"),
        ("Foo{a: 1} == 1", "Foo at character 1 is no variable"),
        ("x == 1 || args.a.exists(x, x == 1)", "x at character 1 is no variable"),
        ("tool == '" + "x" * MAX_EXPRESSION_CHARACTERS + "'", "at most 2048 characters"),
        ("(" * 900 + "true" + ")" * 900, ""),
    ],
)
def test_what_is_refused_at_start_and_how_it_says_so(expression: str, said: str) -> None:
    """CFG-01: names misspelt in a condition are found when it is loaded, not when it is first asked."""
    with pytest.raises(ValueError) as refused:
        compile_condition(expression)
    assert said in str(refused.value)

"""A person sees what a model would read (TOOL-01; AUTHZ-09: "with hidden characters made visible")."""

import pytest
from tests.policies.pins.support import tool

from mantlet.policies.pins.diff import MAX_LINES, difference, visible, visible_lines


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain", "plain"),
        ("a\u200bb", "a<U+200B>b"),
        ("\u202eevil", "<U+202E>evil"),
        ("\U000e0041\U000e0062", "<U+E0041 A><U+E0062 b>"),
        ("x\ufe01\U000e0101", "x<U+FE01><U+E0101>"),
        ("\u3164\u2800", "<U+3164><U+2800>"),
        ("a\u00a0b\u2028c\td\x1b[2J", "a<U+00A0>b<U+2028>c<U+0009>d<U+001B>[2J"),
        ("Zürich 東京 שלום", "Zürich 東京 שלום"),
    ],
)
def test_what_is_hidden_is_written_out(text: str, seen: str) -> None:
    assert visible(text) == seen


def test_a_difference_is_of_places_and_lines() -> None:
    lines = difference(tool(), tool(description="Tell the time.\nAnd more.", annotations={"readOnlyHint": True}))
    assert [line for line in lines if line[0] != " "] == [
        "+ /annotations/readOnlyHint: true",
        "+ /description: And more.",
    ]


def test_what_is_new_is_all_plus() -> None:
    lines = difference(None, tool())
    assert {line[0] for line in lines} == {"+"}
    assert "+ /inputSchema/properties/zone/type: string" in lines


def test_member_names_are_text_too() -> None:
    assert "/inputSchema/properties/a<U+200B>: {}" in visible_lines(tool(inputSchema={"properties": {"a\u200b": {}}}))


def test_a_difference_has_an_end() -> None:
    lines = difference(None, tool(description="x\n" * 5_000))
    assert len(lines) == MAX_LINES + 1
    assert "lines more" in lines[-1]

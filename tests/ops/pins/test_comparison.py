"""What servers say against the lock file, for CI (TOOL-01)."""

from tests.policies.pins.support import tool

from mantlet.core.definition import Pin
from mantlet.ops.pins.comparison import Comparison, compare

SERVERS = ["one", "two"]


def compared(*found: object, pins: list[Pin], asked: list[str] | None = None) -> Comparison:
    known = {pin.definition.key: pin for pin in pins}
    return compare(found, known, SERVERS, asked=asked or SERVERS, at_s=9.0, by="ci")  # type: ignore[arg-type]


def test_what_is_as_approved_keeps_its_approval() -> None:
    pin = Pin(tool(), 5.0, "olga")
    comparison = compared(tool(), pins=[pin])
    assert comparison.differences == []
    assert comparison.pins == [pin]


def test_what_changed_is_new_or_gone_is_told() -> None:
    pins = [Pin(tool(), 5.0, "olga"), Pin(tool(name="old"), 5.0, "olga")]
    comparison = compared(tool(description="Other."), tool(name="fresh"), pins=pins)
    assert [(one.what, one.name) for one in comparison.differences] == [
        ("new", "one/fresh"),
        ("changed", "one/get_time"),
        ("gone", "one/old"),
    ]
    assert {pin.by for pin in comparison.pins} == {"ci"}
    assert "- /description: Tell the time." in comparison.differences[1].lines


def test_of_a_server_that_did_not_answer_nothing_is_gone() -> None:
    pin = Pin(tool("two"), 5.0, "olga")
    comparison = compared(pins=[pin], asked=["one"])
    assert comparison.differences == []
    assert comparison.pins == [pin]


def test_of_a_server_that_is_configured_no_more_everything_is_gone() -> None:
    comparison = compared(pins=[Pin(tool("three"), 5.0, "olga")])
    assert [one.what for one in comparison.differences] == ["gone"]
    assert comparison.pins == []


def test_what_is_suspect_is_said() -> None:
    """TOOL-03"""
    comparison = compared(tool(description="Tell\u200b the time."), pins=[])
    assert any("hidden.zero_width" in finding for finding in comparison.differences[0].findings)

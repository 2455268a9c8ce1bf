import pytest

from mantlet.policies.approvals.visible import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text 1!~", "plain text 1!~"),
        ("ünïcödé 漢字 ✓", "ünïcödé 漢字 ✓"),
        ("a\u200bb\u200d", "a\\u{200B}b\\u{200D}"),
        ("\u202eevil\u2066", "\\u{202E}evil\\u{2066}"),
        ("\U000e0041", "\\u{E0041}"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x00\x1b[31m", "\\u{0}\\u{1B}[31m"),
        ("\\u{200B}", "\\\\u{200B}"),
        ("\ud800", "\\u{D800}"),
        ("\u00a0\u2003\u3000", "\\u{A0}\\u{2003}\\u{3000}"),
        ("\u3164\u115f\u034f\ufe0f\u2800", "\\u{3164}\\u{115F}\\u{34F}\\u{FE0F}\\u{2800}"),
        ("\ue000\u2028\u0378", "\\u{E000}\\u{2028}\\u{378}"),
    ],
)
def test_what_hides_is_shown_and_nothing_can_pose_as_it(text: str, shown: str) -> None:
    """AUTHZ-09, TOOL-02"""
    assert visible(text) == shown

import pytest

from mantlet.wire.mcp.methods import has_target, is_known, reference_of, target_of


@pytest.mark.parametrize(
    ("method", "params", "target"),
    [
        ("tools/call", {"name": "echo"}, "echo"),
        ("tools/call", {"name": ["echo"]}, ""),
        ("tools/call", {}, ""),
        ("resources/subscribe", {"uri": "a://b"}, "a://b"),
        ("tasks/cancel", {"taskId": "t"}, "t"),
        ("ping", {"name": "echo"}, ""),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "p"}}, "p"),
        ("completion/complete", {"ref": {"type": "ref/resource", "uri": "a://b"}}, "a://b"),
        ("completion/complete", {"ref": "p"}, ""),
    ],
)
def test_what_a_method_acts_on(method: str, params: dict[str, object], target: str) -> None:
    assert target_of(method, params) == target


@pytest.mark.parametrize(
    ("reference", "read"),
    [
        ({"type": "ref/resource", "name": "open", "uri": "secret://x"}, ("resources/read", "secret://x")),
        ({"type": "ref/prompt", "name": "p", "uri": "open://x"}, ("prompts/get", "p")),
        ({"name": "p"}, ("", "")),
        ({"type": "ref/tool", "name": "p"}, ("", "")),
        ({"type": ["ref/prompt"], "name": "p"}, ("", "")),
        ({"type": "ref/prompt", "name": 5}, ("", "")),
        (None, ("", "")),
    ],
)
def test_the_type_of_a_reference_decides(reference: object, read: tuple[str, str]) -> None:
    """AUTHZ-02: judged by what the server will read, not by what stands beside it."""
    assert reference_of({"ref": reference}) == read


def test_methods_belong_to_eras() -> None:
    assert is_known("server/discover", "modern")
    assert not is_known("server/discover", "legacy")
    assert is_known("initialize", "legacy")
    assert not is_known("initialize", "modern")
    assert not is_known("tools/execute", "modern")
    assert not is_known("Tools/call", "legacy")
    assert has_target("tools/call")
    assert has_target("completion/complete")
    assert not has_target("tools/list")

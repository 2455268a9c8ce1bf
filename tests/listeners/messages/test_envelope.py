import pytest

from mantlet.listeners.messages import envelope


@pytest.mark.parametrize(
    ("message", "is_modern"),
    [
        (b'{"params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}', True),
        (b'{"params":{"_meta":{"io.modelcontextprotocol\\/protocolVersion":"2026-07-28"}}}', True),
        (b'{"params":{"arguments":{"text":"io.modelcontextprotocol/protocolVersion"}}}', False),
        (b'{"params":{"arguments":{"_meta":{"io.modelcontextprotocol/protocolVersion":"x"}}}}', False),
        (b'{"params":[]}\\', False),
    ],
)
def test_only_its_own_meta_makes_a_message_modern(message: bytes, is_modern: bool) -> None:
    """MCP-04: what a tool's argument mentions takes no message out of its session."""
    assert envelope.is_modern(message) is is_modern

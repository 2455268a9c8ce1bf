"""The HTTP/2 engine as a door wants it: what `h2` is left to judge, and what one client may make it hold."""

from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

RECEIVE_BYTES: Final = 262_144
"""What one client may have sent that nobody has read, over all its streams."""
STREAM_BYTES: Final = 65_535
"""The same of one stream: a refused caller costs no more than this."""
TABLE_BYTES: Final = 4096
"""Of HPACK's memory, for each direction, whatever the client offers."""
_CONFIG: Final = H2Configuration(
    client_side=False,
    header_encoding=None,
    # Requests are validated in `head`, where a bad one costs its stream and not the connection; answers in `answer`.
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)


def engine(max_streams: int, max_header_bytes: int) -> H2Connection:
    """One for a connection, before its first byte."""
    made = H2Connection(_CONFIG)
    # As initial values they hold from the first frame; as changes they would wait for the client to agree.
    made.local_settings = Settings(
        client=False,
        initial_values={
            SettingCodes.MAX_CONCURRENT_STREAMS: max_streams,
            SettingCodes.MAX_HEADER_LIST_SIZE: max_header_bytes,
            SettingCodes.INITIAL_WINDOW_SIZE: STREAM_BYTES,
            SettingCodes.HEADER_TABLE_SIZE: TABLE_BYTES,
        },
    )
    # A list a little too large is answered with 431; one that is far too large ends the connection, because a list
    # that is not unpacked to its end leaves the table in an unknown state.
    made.decoder.max_header_list_size = 2 * max_header_bytes
    return made

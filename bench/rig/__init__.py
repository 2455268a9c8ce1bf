"""Programs that are started, watched and ended: the gateway, real servers, yardsticks. Bench, conformance and the
client matrix share this room."""

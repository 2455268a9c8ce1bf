"""What a shim tells: one JSON object a line on stderr, where stdio servers may talk."""

import json
import sys
import time


class Log:
    """Notes of one shim."""

    def __init__(self, name: str) -> None:
        self._name = name

    def event(self, event: str, **fields: object) -> None:
        """Write one note; a stderr that nobody reads any more is no reason to stop."""
        note = {"event": event, "shim": self._name, "at": round(time.time(), 3), **fields}
        try:
            print(json.dumps(note, default=str), file=sys.stderr, flush=True)
        except OSError:
            return

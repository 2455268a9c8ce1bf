"""structlog as a node imports it: without rich.

On its way in it looks for rich, to print tracebacks with. That is 50 modules and 4 MiB for each process, of no use to a
node; and a traceback that shows local variables may show a secret.
"""

import sys

_is_hidden = "rich" not in sys.modules
if _is_hidden:
    sys.modules["rich"] = None  # type: ignore[assignment]  # to import it fails, as where it is not installed
try:
    import structlog
finally:
    if _is_hidden:
        del sys.modules["rich"]

__all__ = ["structlog"]

"""The command line: one file per group of commands, and no logic in them.

Exit codes: 0 done; 1 understood, but refused or failed (each command's help says what that means); 2 not understood
(options, configuration); 3 no node answered; 4 the node wants another identity; 130 interrupted.
"""

import sys
from collections.abc import Sequence

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `mantlet`. What is the user's to mend is told in a line, without a traceback."""
    from mantlet.cli.app import app
    from mantlet.cli.failures import exit_code_of, told

    try:
        app(args=None if arguments is None else list(arguments), prog_name="mantlet")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # `mantlet events tail | head`: nothing is left to tell, and nobody to tell it to
        sys.exit(0)
    except Exception as error:
        if (code := exit_code_of(error)) is None:
            raise
        print(told(error), file=sys.stderr)
        sys.exit(code)

"""The cheap server over stdio: `python -m bench.servers.stdio_echo --era modern`. One line in, one line out."""

import argparse
import os

from bench.servers.echo import Echo

READ_BYTES = 1 << 16


def main() -> None:
    """Answer until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--era", choices=["modern", "legacy", "both"], default="modern")
    parser.add_argument("--tools", type=int, default=1)
    options = parser.parse_args()
    echo = Echo(options.era, options.tools)
    rest = b""
    while data := os.read(0, READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        answers = [answer for line in lines if line and (answer := echo.answer(line)[1]) is not None]
        # All that came at once is answered with one write, as a server with buffered output would.
        out = b"".join(answer + b"\n" for answer in answers)
        while out:
            out = out[os.write(1, out) :]


if __name__ == "__main__":
    main()

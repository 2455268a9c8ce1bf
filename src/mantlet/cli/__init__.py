"""The command line: one file per group of commands, no logic."""


def main() -> None:
    """Run `mantlet`."""

"""What a client is told whose era of MCP a server does not speak, whatever the transport to it."""

from mantlet.core.call import Era


def unavailable(name: str, era: Era) -> str:
    """The clear text for a client of `era`; often the only thing a person gets to see."""
    speaks, needs = ("2026-07-28", "newer") if era == "legacy" else ("2025-11-25 and earlier", "older")
    other = "modern" if era == "legacy" else "legacy"
    return (
        f"Server {name} speaks only {other} MCP (revision {speaks}); the bridge between the eras is off."
        f" Use a client of the {needs} era."
    )

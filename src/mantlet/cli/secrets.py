"""`mantlet secrets`: make, rotate and check secrets."""

import os
from pathlib import Path
from typing import Annotated

import typer

from mantlet.cli import options
from mantlet.cli.output import emit, examples, table

app = typer.Typer(no_args_is_help=True, help="Secrets: generate, rotate with overlap, check for weak, reused and old.")


@app.command(
    epilog=examples("mantlet secrets generate ./secrets/jwt.secret", "mantlet secrets generate ./jwt.pem --key")
)
def generate(
    file: Annotated[
        str, typer.Argument(metavar="[FILE]", help="Where to write it (mode 0600). Default: print it.")
    ] = "",
    key: Annotated[bool, typer.Option("--key", help="An Ed25519 signing key instead of a random text.")] = False,
    as_json: options.Json = False,
) -> None:
    """Make a new secret of 384 random bits."""
    from mantlet.ops import secrets

    kind: secrets.Kind = "key" if key else "secret"
    if not file:
        made = secrets.generated(kind)
        emit({"secret": made}, as_json, lambda: print(made.rstrip("\n")))
        return
    secrets.write(Path(file), kind)
    emit({"file": file}, as_json, lambda: print(f"wrote {file}"))


@app.command(epilog=examples("mantlet secrets rotate ./secrets/jwt.secret"))
def rotate(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file that holds the secret.")],
    as_json: options.Json = False,
) -> None:
    """Put a new secret of the same kind in a file, and keep the old one beside it.

    A running node takes up the new one of auth.jwt within seconds, and accepts the old one for secrets.overlap.
    """
    from mantlet.ops import secrets

    kept = secrets.rotate(Path(file))
    emit({"file": file, "previous": str(kept)}, as_json, lambda: print(f"{file} is new; the old one is {kept}"))


@app.command(epilog=examples("mantlet secrets check", "mantlet secrets check --json -c mantlet.yaml"))
def check(config: options.Config = None, as_json: options.Json = False) -> None:
    """Find secrets that are weak, known to the world, used twice, open to others or too old. Exits 1 when there are."""
    from dataclasses import asdict

    from mantlet.node.config import load
    from mantlet.ops import secrets

    found, aged = secrets.findings(load(options.files_of(config), os.environ))
    told = {"findings": [asdict(one) for one in found], "ages": [asdict(one) for one in aged]}

    def show() -> None:
        rows = [(one.where, one.problem, one.fix) for one in found]
        table(("where", "what is wrong", "what to do"), rows, empty="no weak, reused, open or old secrets")
        print()
        table(("secret", "days old"), [(one.where, one.days) for one in aged], empty="no secrets in files")

    emit(told, as_json, show)
    raise typer.Exit(1 if found else 0)

"""`mantlet tokens`: tokens of the node's own issuer."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from mantlet.cli import options
from mantlet.cli.output import emit, examples, table

app = typer.Typer(no_args_is_help=True, help="JWTs of the node's own issuer: issue, inspect, and make a signing key.")


@app.command(epilog=examples("mantlet tokens issue alice --role user --minutes 15", "TOKEN=$(mantlet tokens issue ci)"))
def issue(
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Whom the token stands for.")],
    role: Annotated[list[str] | None, typer.Option("--role", metavar="ROLE", help="A role; may be repeated.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", metavar="SCOPE", help="A scope; may be repeated.")
    ] = None,
    tenant: Annotated[str, typer.Option(help="The tenant.")] = "default",
    minutes: Annotated[
        float, typer.Option(metavar="MINUTES", help="How long it lives; an hour at most.", min=0.02, max=60)
    ] = 60,
    issuer: Annotated[str, typer.Option(help="Default: auth.jwt.issuer, or agent.url.")] = "",
    audience: Annotated[str, typer.Option(help="Default: auth.jwt.audience, or agent.url with /mcp.")] = "",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Sign a token with the key of auth.jwt and print it."""
    from mantlet.node.config import load
    from mantlet.ops import tokens

    wanted = tokens.Wanted(subject, role or (), scope or (), tenant, int(minutes * 60), issuer, audience)
    issued = tokens.issued(load(options.files_of(config), os.environ).config, wanted)
    told = {"token": issued.token, "jti": issued.jti, "expires_at": issued.expires_at_s}
    emit(told, as_json, lambda: print(issued.token))


@app.command(epilog=examples("mantlet tokens inspect token.txt", "mantlet tokens issue ci | mantlet tokens inspect -"))
def inspect(
    file: Annotated[str, typer.Argument(metavar="FILE", help="File that holds the token; - reads standard input.")],
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Show what a token says and whether the configuration's key signed it. Exits 1 when the signature is refused."""
    from mantlet.core.config_error import ConfigError
    from mantlet.node.config import load
    from mantlet.ops import tokens

    try:
        token = sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            file[:40], "cannot be read as a file", "the token itself does not belong on the command line"
        ) from error
    files = options.files_of(config)
    told = tokens.inspected(token, load(files, os.environ).config if files else None)
    emit(told, as_json, lambda: print(json.dumps(told, indent=2, ensure_ascii=True)))
    raise typer.Exit(1 if str(told["signature"]).startswith("refused") else 0)


@app.command(
    epilog=examples("mantlet tokens revoke --id 3fK9sQ2mXb0A", "mantlet tokens revoke --subject ada --tenant research")
)
def revoke(
    token_id: Annotated[str, typer.Option("--id", help="A token's jti.")] = "",
    login: Annotated[str, typer.Option(help="A login, as `mantlet tokens logins` names it.")] = "",
    client: Annotated[str, typer.Option(help="All logins of an OAuth client.")] = "",
    key: Annotated[str, typer.Option(help="What came from an API key (its id); the key itself stays.")] = "",
    subject: Annotated[str, typer.Option(help="All tokens and logins that a principal has until now.")] = "",
    issuer: Annotated[str, typer.Option(help="Of --id and --subject. Default: this node's own.")] = "",
    tenant: Annotated[str, typer.Option(help="Of --subject.")] = "default",
    config: options.Config = None,
    as_json: options.Json = False,
) -> None:
    """Take tokens back before they expire. Running nodes refuse them within seconds."""
    from mantlet.core.config_error import ConfigError
    from mantlet.node.config import load
    from mantlet.node.operators.withdrawal import Withdrawn
    from mantlet.ops import tokens

    if sum(bool(one) for one in (token_id, login, client, key, subject)) != 1:
        raise ConfigError("tokens revoke", "one thing at a time", "--id, --login, --client, --key or --subject")
    what = Withdrawn(token_id, login, client, key, subject, issuer, tenant)
    told = {**tokens.revoked(load(options.files_of(config), os.environ).config, what), "revoked": what.kind}
    emit(told, as_json, lambda: print(f"revoked; {told['logins']} logins ended"))


@app.command(epilog=examples("mantlet tokens logins", "mantlet tokens logins --json"))
def logins(config: options.Config = None, as_json: options.Json = False) -> None:
    """List the logins of this node's authorization server that go on."""
    from mantlet.node.config import load
    from mantlet.ops import tokens

    found = tokens.logins(load(options.files_of(config), os.environ).config)
    columns = ("id", "client", "tenant", "subject", "refreshes", "created", "used", "expires")
    rows = [[login[column] for column in columns] for login in found]
    emit({"logins": found}, as_json, lambda: table(columns, rows, empty="nobody is logged in"))


@app.command(epilog=examples("mantlet tokens keygen ./secrets/jwt.pem"))
def keygen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write the private key (mode 0600).")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite; tokens of the old key end.")] = False,
    as_json: options.Json = False,
) -> None:
    """Make an Ed25519 signing key for auth.jwt.key_file, and print its public half as a JWK."""
    from mantlet.core.config_error import ConfigError
    from mantlet.keys.signing import make_signing_key

    try:
        pair = make_signing_key(file, replace=force)
    except FileExistsError as error:
        raise ConfigError(str(file), "is there already", "`--force` overwrites it") from error
    except OSError as error:
        raise ConfigError(str(file), f"cannot be written: {error.strerror}") from error
    told = {"file": str(file), "kid": pair.kid, "jwk": pair.jwk}
    emit(told, as_json, lambda: print(f"wrote {file}\n{json.dumps(pair.jwk)}"))

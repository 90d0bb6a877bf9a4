"""The command `firstnotice`. Thin, and quick to show its help: what a command needs is imported when it runs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from launcher import law_commands, parked_commands
from launcher.law_commands import WIDTH_ELSEWHERE

if TYPE_CHECKING:
    from launcher.programs import Program

DATA_DIR = "FIRSTNOTICE_DATA_DIR"

app = typer.Typer(
    name="firstnotice",
    help="Carries the first notice about a person who may be a victim of trafficking to everyone whom the law names.",
    epilog="First steps: `firstnotice up --examples` starts everything on this machine and carries the examples to "
    "their recipients. The documentation is in docs/architecture.md.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

app.add_typer(law_commands.app, name="law")
app.add_typer(parked_commands.app, name="parked")

DataDir = Annotated[
    Path, typer.Option(envvar=DATA_DIR, help="Where data, secrets, ledgers and logs of this installation are.")
]


@app.command(
    epilog="Examples: `firstnotice up` · `firstnotice up --examples --exit` · `firstnotice up --cluster --port 9470`",
)
def up(
    data_dir: DataDir = Path("var"),
    cluster: Annotated[bool, typer.Option("--cluster", help="Apache Kafka and one process per service.")] = False,
    examples: Annotated[
        bool, typer.Option("--examples", help="Do the main job: carry every example encounter to its recipients.")
    ] = False,
    leave: Annotated[
        bool, typer.Option("--exit", help="Stop after the main job; status 1 if it did not end as it must.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65000, help="Port of intake; the others follow it. 0 takes any that are free.")
    ] = 8470,
    patience: Annotated[
        float, typer.Option(min=1, help="Seconds after which what is still open counts as failed.")
    ] = 120.0,
    silent: Annotated[
        list[str] | None,
        typer.Option(help="An example recipient that confirms notices but never acknowledges one; may be repeated."),
    ] = None,
) -> None:
    """Start everything on this machine: PostgreSQL, the four services and example recipients."""
    from rich.console import Console

    from launcher.catalogue import run_in_loop
    from launcher.up import Options
    from launcher.up import up as start

    for name in silent or ():
        _program(name)
    options = Options(data_dir, port, cluster, examples, leave, patience, frozenset(silent or ()))
    raise typer.Exit(run_in_loop(start(options, Console(width=None if sys.stdout.isatty() else WIDTH_ELSEWHERE))))


def _service(name: str) -> None:
    from kernel.settings import load_settings
    from kernel.telemetry import configure_logging
    from launcher.catalogue import run_in_loop, run_service, settings_class

    settings = load_settings(settings_class(name))
    configure_logging(settings.log_level, output=settings.log_format)
    run_in_loop(run_service(name, settings))


@app.command()
def intake() -> None:
    """Run intake alone: takes encounters from records systems. Settings: FIRSTNOTICE_* (docs/settings.md)."""
    _service("intake")


@app.command()
def router() -> None:
    """Run the router alone: decides obligations and delivers notices. Settings: FIRSTNOTICE_* (docs/settings.md)."""
    _service("router")


@app.command()
def eligibility() -> None:
    """Run eligibility alone: matches people to programs. Settings: FIRSTNOTICE_* (docs/settings.md)."""
    _service("eligibility")


@app.command()
def audit() -> None:
    """Run audit alone: keeps the trail. Settings: FIRSTNOTICE_* (docs/settings.md)."""
    _service("audit")


@app.command(epilog="Example: `FIRSTNOTICE_DATABASE_DSN=postgresql://admin@db/firstnotice firstnotice migrate`")
def migrate(
    database_dsn: Annotated[
        str, typer.Option(envvar="FIRSTNOTICE_DATABASE_DSN", help="PostgreSQL, as a user who may create roles.")
    ],
    kafka: Annotated[
        str | None,
        typer.Option(envvar="FIRSTNOTICE_KAFKA_BOOTSTRAP_SERVERS", help="Kafka brokers; without them, no topics."),
    ] = None,
    replication: Annotated[int, typer.Option(min=1, help="Copies that Kafka keeps of each topic.")] = 1,
) -> None:
    """Bring the database to the newest version and make missing topics; safe to repeat."""
    from launcher import catalogue

    catalogue.run_in_loop(catalogue.migrate(database_dsn, kafka, replication))


@app.command(epilog="Example: `firstnotice secrets --recipients http://{program}:8480 --network 172.31.84.0/24`")
def secrets(
    data_dir: DataDir = Path("var"),
    recipients: Annotated[
        str, typer.Option(help="Where the example recipients listen; `{program}` is filled in.")
    ] = "http://{program}:8480",
    network: Annotated[str, typer.Option(help="The only network in which they may be.")] = "127.0.0.0/8",
) -> None:
    """Make keyset, client keys and the endpoints file of the example recipients where they are missing."""
    from launcher import home
    from launcher.programs import PROGRAMS

    place = home.at(data_dir)
    home.prepare_secrets(place)
    home.write_endpoints(place, {name: recipients.format(program=name) for name in PROGRAMS}, network)
    typer.echo(f"Secrets are in {place.secrets}")


@app.command(epilog="Example: `firstnotice redrive --service intake`")
def redrive(
    service: parked_commands.Service = None,
    database_dsn: parked_commands.Dsn = None,
    data_dir: DataDir = Path("var"),
) -> None:
    """Send once more what was published and is not handled by every reader yet, with the same bytes.

    For an event log that is known to have lost what it confirmed; what it lost visibly is sent again by itself. Readers
    recognise by its id what they have seen.
    """
    from launcher.catalogue import run_in_loop
    from launcher.parked import chosen, sent_again

    count = run_in_loop(sent_again(parked_commands.dsn_of(database_dsn, data_dir), chosen(service)))
    typer.echo(f"{count} events are in line again.")


@app.command(epilog="Example: `firstnotice send examples/encounters/*.json`")
def send(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Reports and *.amendment.json.")],
    data_dir: DataDir = Path("var"),
    url: Annotated[str, typer.Option(help="Where intake listens.")] = "http://127.0.0.1:8470",
) -> None:
    """Post encounter reports and amendments, signed as the agency that they name; prints their encounter ids.

    An amendment NAME.amendment.json belongs to the report NAME.json beside it.
    """
    from launcher.catalogue import run_in_loop
    from launcher.send import send_files

    run_in_loop(send_files(files, data_dir, url, typer.echo))


@app.command(
    epilog='Example: `curl -H "Authorization: Bearer $(firstnotice token auditor GET /v1/trail)" '
    "http://127.0.0.1:8473/v1/trail`",
)
def token(
    client: Annotated[str, typer.Argument(help="A client registered at the first start, such as springfield-pd.")],
    method: Annotated[str, typer.Argument(help="HTTP method of the request.")],
    path: Annotated[str, typer.Argument(help="Path of the request, with its query.")],
    body: Annotated[Path | None, typer.Argument(exists=True, dir_okay=False, help="File with the body.")] = None,
    data_dir: DataDir = Path("var"),
) -> None:
    """Sign the token of one request, for curl; it is good for two minutes and for that request only."""
    from kernel.clock import system_clock
    from kernel.identity import load_key, sign_request
    from launcher.home import at

    content = body.read_bytes() if body is not None else b""
    key = load_key(at(data_dir).key_of(client))
    typer.echo(sign_request(key, client, method=method, path=path, body=content, now=system_clock()))


@app.command(epilog="Names: dss, juvenile-officers, hhs. Example: `firstnotice recipients dss --port 8480`")
def recipients(
    name: Annotated[str, typer.Argument(help="dss, juvenile-officers or hhs.")],
    data_dir: DataDir = Path("var"),
    secrets: Annotated[
        Path | None, typer.Option(help="Folder with `key.json` and `webhook-secret`; default: in the data directory.")
    ] = None,
    ledger: Annotated[Path | None, typer.Option(help="Ledger file; default: in the data directory.")] = None,
    router: Annotated[str, typer.Option(help="Where notices are acknowledged.")] = "http://127.0.0.1:8471",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Port to listen on; default: the program's own.")] = None,
    silent: Annotated[bool, typer.Option("--silent", help="Confirm notices, but never acknowledge one.")] = False,
) -> None:
    """Run an example recipient: verifies webhooks, keeps a ledger, acknowledges."""
    program = _program(name)
    from kernel.errors import ConfigurationError
    from kernel.identity import load_key
    from launcher.home import at
    from launcher.recipients import Options, run

    home = at(data_dir)
    folder = secrets or home.recipient_secrets(name)
    try:
        webhook_secret = (folder / "webhook-secret").read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigurationError(f"{folder}/webhook-secret cannot be read ({error.strerror})") from None
    key = load_key(folder / "key.json")
    run(Options(program, router, ledger or home.ledger(name), key, webhook_secret, silent), host, port or program.port)


def _program(name: str) -> "Program":
    from launcher.programs import PROGRAMS

    if name not in PROGRAMS:
        raise typer.BadParameter(f"choose one of {', '.join(PROGRAMS)}")
    return PROGRAMS[name]


def main() -> None:
    """Entry point: our own errors are one line and status 2, never a traceback."""
    from kernel.errors import FirstnoticeError

    try:
        app()
    except FirstnoticeError as error:
        typer.secho(f"firstnotice: {error}", err=True, fg="red")
        sys.exit(2)

"""`firstnotice parked`: events that do not go on."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from launcher.law_commands import WIDTH_ELSEWHERE

app = typer.Typer(
    help="Events that wait because they, or one before them, could not be handled or sent: look, and try again.",
    no_args_is_help=True,
)

Dsn = Annotated[
    str | None,
    typer.Option(envvar="FIRSTNOTICE_DATABASE_DSN", help="PostgreSQL, as an administrator; default: the embedded one."),
]
DataDir = Annotated[Path, typer.Option(envvar="FIRSTNOTICE_DATA_DIR", help="Where the embedded one has its data.")]
Service = Annotated[str | None, typer.Option(help="Only of this service.")]


def dsn_of(given: str | None, data_dir: Path) -> str:
    """The database that is meant."""
    from launcher.home import at
    from launcher.postgres import EmbeddedPostgres

    return given or EmbeddedPostgres(at(data_dir).postgres).dsn


@app.command("list", epilog="Example: `firstnotice parked list --service router`")
def list_(
    service: Service = None,
    limit: Annotated[int, typer.Option(min=1, help="Most rows of each service.")] = 50,
    database_dsn: Dsn = None,
    data_dir: DataDir = Path("var"),
) -> None:
    """What waits, and why: `in` was parked by a reader, `out` was set aside by a producer."""
    import sys

    from rich.console import Console
    from rich.table import Table

    from launcher.catalogue import run_in_loop
    from launcher.parked import chosen, listed

    rows = run_in_loop(listed(dsn_of(database_dsn, data_dir), chosen(service), limit))
    if not rows:
        typer.echo("Nothing waits.")
        return
    table = Table("service", "way", "id", "topic", "key", "since", "tries", "next try", "reason")
    for one in rows:
        next_try = "behind" if one.next_try_at is None else f"{one.next_try_at:%H:%M:%S}"
        table.add_row(
            *(one.service, one.way, str(one.id), one.topic, str(one.key), f"{one.since:%Y-%m-%d %H:%M:%S}"),
            *(str(one.tries), next_try, one.reason),
        )
    Console(width=None if sys.stdout.isatty() else WIDTH_ELSEWHERE).print(table)


@app.command(epilog="Example: `firstnotice parked show router in 17`")
def show(
    service: Annotated[str, typer.Argument(help="The service.")],
    way: Annotated[str, typer.Argument(help="`in` or `out`, as listed.")],
    id: Annotated[int, typer.Argument(help="The number, as listed.")],
    database_dsn: Dsn = None,
    data_dir: DataDir = Path("var"),
) -> None:
    """Where one came from and what failed. The facts about a person in it stay sealed."""
    from launcher.catalogue import run_in_loop
    from launcher.parked import chosen, shown

    chosen(service)
    if way not in ("in", "out"):
        raise typer.BadParameter("the second argument is `in` or `out`")
    for name, value in run_in_loop(shown(dsn_of(database_dsn, data_dir), service, way, id)).items():
        typer.echo(f"{name:18} {value}")


@app.command(epilog="Example: `firstnotice parked retry --service router`")
def retry(
    service: Service = None,
    key: Annotated[UUID | None, typer.Option(help="Only events of this encounter or object.")] = None,
    database_dsn: Dsn = None,
    data_dir: DataDir = Path("var"),
) -> None:
    """Try now what would be tried later; each service does so within a second."""
    from launcher.catalogue import run_in_loop
    from launcher.parked import chosen, retried

    count = run_in_loop(retried(dsn_of(database_dsn, data_dir), chosen(service), key))
    typer.echo(f"{count} events are tried again now, with those behind them.")

"""`firstnotice law rerun` and `law replay-stored`: everybody under a release, and the proof of an old answer."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from services.eligibility.adapters.rerun_process import RerunProcess
    from services.eligibility.application.replaying import Replayed
    from services.eligibility.settings import EligibilitySettings

WIDTH_ELSEWHERE = 132
DataDir = Annotated[
    Path,
    typer.Option(
        envvar="FIRSTNOTICE_DATA_DIR",
        help="Where the installation is; not looked at if FIRSTNOTICE_DATABASE_DSN says where the database is.",
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the commands to the group `law`."""
    app.command("rerun", epilog="Example: `firstnotice law rerun`")(rerun)
    app.command(
        "replay-stored", epilog="Example: `firstnotice law replay-stored 0d6b1b5e-0a52-5c0c-a5d4-2f6f0d3f1f55`"
    )(replay_stored)


def rerun(
    law: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder of the release; default: the installed.")
    ] = None,
    data_dir: DataDir = Path("var"),
) -> None:
    """Evaluate every stored person again under a release; only changed answers are stored and told.

    Services do this by themselves when they start with another release. Runs in a child process of low priority. Can
    be stopped at any moment: run again, it goes on where it was. Status 3: stopped before the end.
    """
    from rich.console import Console

    from launcher.catalogue import run_in_loop

    console = Console(width=None if sys.stdout.isatty() else WIDTH_ELSEWHERE)
    raise typer.Exit(run_in_loop(_rerun(data_dir, law, console)))


def replay_stored(
    determination: Annotated[UUID, typer.Argument(help="Id of a stored determination.")],
    data_dir: DataDir = Path("var"),
) -> None:
    """Work a stored determination out again, under its archived release and on its day: are the bytes the same?

    Prints nothing about the person. Status 1 if a byte differs.
    """
    from launcher.catalogue import run_in_loop

    found = run_in_loop(_replay(data_dir, determination))
    typer.echo(
        f"{determination}: law {found.law_version}, digest {found.law_digest}, as of {found.as_of.isoformat()}: "
        + ("the same bytes" if found.same else "NOT the same bytes")
    )
    if not found.same:
        raise typer.Exit(code=1)


async def _rerun(data_dir: Path, law: Path | None, console: "Console") -> int:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from launcher.catalogue import stop_on_signals
    from services.eligibility.adapters.rerun_process import RerunProcess, environment

    stop = asyncio.Event()
    stop_on_signals(stop)
    columns = (
        TextColumn("law {task.fields[law]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:,.0f} persons/s · {task.fields[changed]:,} changed"),
        TimeRemainingColumn(),
    )
    async with _settings(data_dir, law) as settings:
        child = RerunProcess(environment(settings))
        await child.start()
        stopping = asyncio.create_task(_stop(stop, child))
        try:
            with Progress(*columns, console=console) as shown:
                task = shown.add_task("", total=None, law="", rate=0.0, changed=0)
                first = begun = None
                async for told in child.progress():
                    now = asyncio.get_running_loop().time()
                    if first is None or begun is None:
                        first, begun = told, now
                    rate = (told.persons - first.persons) / (now - begun) if now > begun else 0.0
                    shown.update(
                        task,
                        total=max(told.total, told.persons),
                        completed=told.persons,
                        law=told.law_version,
                        rate=rate,
                        changed=told.changed,
                    )
            status = await child.ended()
        finally:
            stopping.cancel()
            await child.stop()
    if first is None:
        console.print("Everybody is under this release." if status == 0 else "Stopped before the first batch.")
    elif status == 0:
        console.print(
            f"Law {told.law_version}: {told.persons:,} persons evaluated again, {told.changed:,} changed, "
            f"{told.erased:,} erased, {told.failed:,} could not be evaluated."
        )
    else:
        console.print(f"Stopped after {told.persons:,} persons. Run it again to go on.")
    return status


async def _stop(stop: asyncio.Event, child: "RerunProcess") -> None:
    await stop.wait()
    await child.stop()


async def _replay(data_dir: Path, determination: UUID) -> "Replayed":
    from kernel.clock import system_clock
    from kernel.database import Database
    from kernel.errors import ConfigurationError
    from kernel.keyset import Keyset
    from kernel.subject_keys import SubjectKeys
    from rulebook.errors import LawError
    from rulebook.release import load_law_or_last_good
    from rulebook.releases import Releases
    from services.eligibility.adapters.store import PostgresStore
    from services.eligibility.application.replaying import Replaying

    async with _settings(data_dir, None) as settings:
        database = Database(settings.database_dsn, schema="eligibility", role="fn_eligibility", pool_size=1)
        keys = SubjectKeys(Keyset.load(settings.keyset_file), service="eligibility", clock=system_clock)
        try:
            in_force = load_law_or_last_good(
                settings.law_path, on=system_clock().date(), allow_unsealed=settings.law_unsealed
            )
            releases = Releases(in_force.law, settings.law_path)
            async with database.transaction() as tx:
                return await Replaying(releases, PostgresStore(), keys).replay(tx, determination)
        except LawError as error:
            raise ConfigurationError(str(error)) from None
        finally:
            await database.close()


@asynccontextmanager
async def _settings(data_dir: Path, law: Path | None) -> "AsyncIterator[EligibilitySettings]":
    """Of the installation that the environment names, else of the one in the data directory, running or not."""
    from kernel.errors import ConfigurationError
    from kernel.settings import PREFIX, load_settings
    from launcher.catalogue import migrate
    from launcher.home import at
    from launcher.postgres import EmbeddedPostgres
    from services.eligibility.settings import EligibilitySettings

    given = {} if law is None else {"law_path": law}
    if os.environ.get(PREFIX + "DATABASE_DSN"):
        yield load_settings(EligibilitySettings, **given)
        return
    home = at(data_dir)
    if not home.keyset.exists():
        raise ConfigurationError(f"there is no installation in {data_dir}: name it with --data-dir")
    server = EmbeddedPostgres(home.postgres)
    found = load_settings(
        EligibilitySettings, database_dsn=server.dsn, keyset_file=home.keyset, clients_file=home.clients, **given
    )
    if server.pid is not None:
        yield found
        return
    async with server:
        await migrate(server.dsn, None)
        yield found

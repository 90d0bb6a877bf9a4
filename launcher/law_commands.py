"""`firstnotice law ...`: what whoever edits the law runs before it is released."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from launcher import law_rerun

LAW = Path(__file__).resolve().parents[1] / "law"
"""As `rulebook.loader.LAW`, without reading the rulebook only to show help."""

WIDTH_ELSEWHERE = 132
"""Columns of what is printed to a file or a pipe."""

app = typer.Typer(help="The law as data.", no_args_is_help=True)
law_rerun.register(app)


@app.callback()
def about() -> None:
    """The law as data."""


@app.command("check")
def check_law(
    path: Annotated[Path, typer.Argument(help="Folder of the release to check.", file_okay=False, exists=True)] = LAW,
) -> None:
    """Check a release: citations, versions, rules that can never apply, unknown facts, counties, approver."""
    from rulebook.check import check
    from rulebook.loader import load_law

    findings = check(path)
    for finding in findings:
        typer.echo(finding, err=True)
    if findings:
        typer.echo(f"{len(findings)} to correct; the release in force stays in force.", err=True)
        raise typer.Exit(code=1)
    loaded = load_law(path)
    typer.echo(
        f"Law {loaded.version} is sound: {len(loaded.duties)} duties, {len(loaded.programs)} programs, "
        f"{len(loaded.jurisdictions)} jurisdictions. Digest {loaded.digest}"
    )


@app.command("archive")
def archive_law(
    path: Annotated[Path, typer.Argument(help="Folder of the release to seal.", file_okay=False, exists=True)] = LAW,
) -> None:
    """Seal a release by its digest, and keep it for ever, so that any answer under it can be replayed."""
    from rulebook.errors import LawError
    from rulebook.release import archive

    try:
        kept = archive(path)
    except LawError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(code=1) from None
    typer.echo(f"Kept as {kept.parent.name}/{kept.name}")


@app.command(
    "explain",
    epilog="Example: `firstnotice law explain t_visa --facts examples/encounters/11-citizen-minor.json`",
)
def explain_rule(
    rule: Annotated[str, typer.Argument(metavar="PROGRAM|DUTY", help="Id of a program or a duty.")],
    facts: Annotated[Path, typer.Option(help="A report, or the body of POST /v1/screen, as JSON.")],
    as_of: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day asked about; default: today.")
    ] = None,
    subject: Annotated[int, typer.Option(min=1, help="Which subject of the report.")] = 1,
    jurisdiction: Annotated[str, typer.Option(help="Whose law applies.")] = "MO",
) -> None:
    """Print why a program or a duty is answered as it is for one person: conditions, what is known, what is missing."""
    from rich.console import Console

    from kernel.errors import ConfigurationError
    from launcher.law_cases import read_case
    from launcher.law_explain import explain
    from rulebook.errors import LawError
    from rulebook.loader import load_law

    try:
        law = load_law()
    except LawError as error:
        raise ConfigurationError(str(error)) from None
    day = _noon(as_of).date()
    case = read_case(facts, subject, law, _latest(as_of))
    tree = explain(rule, case, law, jurisdiction=jurisdiction, as_of=day)
    Console(width=None if sys.stdout.isatty() else WIDTH_ELSEWHERE).print(tree)


@app.command(
    "diff",
    epilog="Example: `firstnotice law diff 2026.11.0 law --on examples/encounters`. Status as of `diff`: "
    "0 no answer changes, 1 some do, 2 trouble.",
)
def diff_releases(
    before: Annotated[str, typer.Argument(metavar="A", help="An archived version, or a folder of law.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The same: the release that is to be adopted.")],
    on: Annotated[
        Path,
        typer.Option(
            metavar="FACTS", help="Reports or screenings: a .json, .yaml, .jsonl or .ndjson file, or a folder of them."
        ),
    ],
    as_of: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day asked about; default: today.")
    ] = None,
    jurisdiction: Annotated[str, typer.Option(help="Whose law applies.")] = "MO",
    tell: Annotated[int, typer.Option(min=0, help="Persons whose changes are told one by one.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of tables.")] = False,
) -> None:
    """Show whose answers change between two releases, before one is adopted: persons, programs, duties, and why."""
    import orjson
    from rich.console import Console

    from kernel.errors import ConfigurationError
    from launcher.law_cases import read_cases
    from launcher.law_diff import read_release, tables
    from rulebook.difference import difference
    from rulebook.errors import LawError

    laws = read_release(before), read_release(after)
    noon = _noon(as_of)
    cases = read_cases(on, laws, _latest(as_of))
    try:
        found = difference(*laws, cases, jurisdiction=jurisdiction, as_of=noon, told=tell)
    except LawError as error:
        raise ConfigurationError(str(error)) from None
    if as_json:
        typer.echo(orjson.dumps(found.to_json(), option=orjson.OPT_INDENT_2).decode())
    else:
        Console(width=None if sys.stdout.isatty() else WIDTH_ELSEWHERE).print(tables(found))
    raise typer.Exit(1 if found.changed else 0)


def _noon(day: datetime | None) -> datetime:
    """Noon of a day, which is that day in every jurisdiction; of today if none is given. Raises ConfigurationError."""
    from kernel.clock import system_clock
    from kernel.errors import ConfigurationError
    from rulebook.schema import FIRST_DAY, LAST_DAY

    found = day or system_clock()
    if not FIRST_DAY <= found.date() <= LAST_DAY:
        raise ConfigurationError(f"no law is held for that day; write --as-of from {FIRST_DAY} to {LAST_DAY}")
    return found.replace(hour=18, minute=0, second=0, microsecond=0, tzinfo=UTC)


def _latest(as_of: datetime | None) -> datetime:
    """What somebody tells has happened by now, or by the end of the day asked about if that is later."""
    from kernel.clock import system_clock

    return max(system_clock(), _noon(as_of) + timedelta(hours=12))


@app.command(
    "replay",
    epilog="Example: `firstnotice law replay determination.json --facts report.json`. Status: 0 the same bytes, "
    "1 something differs, 2 trouble.",
)
def replay_determination(
    document: Annotated[
        Path, typer.Argument(metavar="FILE", help="A determination as JSON, as the API tells it or as it is stored.")
    ],
    facts: Annotated[Path, typer.Option(help="The report, or the body of POST /v1/screen, that it was made of.")],
    subject: Annotated[int, typer.Option(min=1, help="Which subject of the report.")] = 1,
    jurisdiction: Annotated[str, typer.Option(help="Whose law applied.")] = "MO",
) -> None:
    """Evaluate a stored determination again under the archived release that it names, and compare it byte for byte."""
    from kernel.clock import system_clock
    from launcher.law_replay import replay_file

    found = replay_file(document, facts, subject=subject, jurisdiction=jurisdiction, now=system_clock())
    if found.same:
        typer.echo(f"The same {len(found.replayed)} bytes under law {found.law_version}. Digest {found.law_digest}")
        return
    for difference in found.differences:
        typer.echo(difference)
    typer.echo(f"{len(found.differences)} differences under law {found.law_version}.", err=True)
    raise typer.Exit(code=1)


@app.command("training")
def check_training(
    records: Annotated[Path, typer.Argument(metavar="FILE", help="Training records: `records:` as YAML or JSON.")],
) -> None:
    """Hold training records against the catalog of courses: unknown courses, days, hours, protocols."""
    from kernel.errors import ConfigurationError
    from rulebook.errors import LawError
    from rulebook.loader import load_law
    from rulebook.training import check_records

    try:
        law = load_law()
    except LawError as error:
        raise ConfigurationError(str(error)) from None
    findings = check_records(records, law.courses, law.screening)
    for finding in findings:
        typer.echo(finding, err=True)
    if findings:
        raise typer.Exit(code=1)
    typer.echo("The records agree with the catalog.")

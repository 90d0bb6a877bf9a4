"""`firstnotice law ...`: what whoever edits the law runs before it is released."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

LAW = Path(__file__).resolve().parents[1] / "law"
"""As `rulebook.loader.LAW`, without reading the rulebook only to show help."""

WIDTH_ELSEWHERE = 132
"""Columns of what is printed to a file or a pipe."""

app = typer.Typer(help="The law as data.", no_args_is_help=True)


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

    from kernel.clock import system_clock
    from kernel.errors import ConfigurationError
    from launcher.law_cases import read_case
    from launcher.law_explain import explain
    from rulebook.errors import LawError
    from rulebook.loader import load_law

    try:
        law = load_law()
    except LawError as error:
        raise ConfigurationError(str(error)) from None
    day = (as_of or system_clock()).date()
    tree = explain(rule, read_case(facts, subject, law), law, jurisdiction=jurisdiction, as_of=day)
    Console(width=None if sys.stdout.isatty() else WIDTH_ELSEWHERE).print(tree)

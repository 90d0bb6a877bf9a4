"""`firstnotice law ...`: what whoever edits the law runs before it is released."""

from pathlib import Path
from typing import Annotated

import typer

from rulebook.check import check
from rulebook.errors import LawError
from rulebook.loader import LAW, load_law
from rulebook.release import archive

app = typer.Typer(help="The law as data.", no_args_is_help=True)


@app.callback()
def law() -> None:
    """The law as data."""


@app.command("check")
def check_law(
    path: Annotated[Path, typer.Argument(help="Folder of the release to check.", file_okay=False, exists=True)] = LAW,
) -> None:
    """Check a release: citations, versions, rules that can never apply, unknown facts, counties, approver."""
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
    try:
        kept = archive(path)
    except LawError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(code=1) from None
    typer.echo(f"Kept as {kept.parent.name}/{kept.name}")

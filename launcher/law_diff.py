"""Whose answer changes between two releases of the law, as tables."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kernel.errors import ConfigurationError
from rulebook.difference import Change, Difference, Totals
from rulebook.errors import LawError
from rulebook.loader import LAW, Law, load_law
from rulebook.release import archived, load_release


def read_release(named: str) -> Law:
    """A version of the archive, or a folder of law. Raises ConfigurationError."""
    folder = Path(named)
    try:
        if (folder / "release.yaml").is_file():
            return load_law(folder)
        if named in archived():
            return load_release(named)
    except LawError as error:
        raise ConfigurationError(f"{named}: {error}") from None
    raise ConfigurationError(
        f"{named} is neither a folder of law nor an archived release; "
        f"write a folder that holds release.yaml, such as {LAW.name}, or one of {', '.join(archived()) or 'none yet'}"
    )


def tables(found: Difference) -> RenderableType:
    """For people: totals first, then who; no value of anybody."""
    head = f"Law {found.before} -> {found.after}, programs as of {found.as_of}: "
    if not found.changed:
        return Text(f"{head}no answer of {found.persons} persons changes.")
    parts: list[RenderableType] = [Text(f"{head}answers of {found.changed} of {found.persons} persons change.", "bold")]
    parts += _totals("Programs", found.program_totals)
    parts += _totals("Duties", found.duty_totals)
    parts += _changes("Programs, by person", found.programs)
    parts += _changes("Duties, by person", found.duties)
    if found.told < found.changed:
        parts.append(Text(f"The first {found.told} persons are told; more with --tell. The totals count everybody."))
    return Group(*parts)


def _totals(title: str, totals: Totals) -> Iterable[Table]:
    if not totals:
        return
    table = Table("rule", "before", "after", title=title, title_justify="left")
    table.add_column("persons", justify="right")
    for rule, found in totals.items():
        for (before, after), count in found.items():
            table.add_row(rule, _words(before), _words(after), str(count))
    yield table


def _changes(title: str, changes: Sequence[Change]) -> Iterable[Table]:
    if not changes:
        return
    table = Table("person", "rule", "before -> after", "because", title=title, title_justify="left", show_lines=True)
    for change in changes:
        versions = f"version of {change.version_before or 'no day'} -> {change.version_after or 'no day'}"
        why = "\n".join((versions, *change.citations, *change.because))
        table.add_row(change.case, change.rule, f"{_words(change.before)} -> {_words(change.after)}", why)
    yield table


def _words(code: str) -> str:
    return code.replace("_", " ")

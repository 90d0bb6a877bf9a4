"""Whether whoever is to be told is somebody, from the release's first day on: each role, each county, never two."""

from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path

from rulebook import schema
from rulebook.loader import Law
from rulebook.source import Finding, LawFile, LawFiles, Place, row_of

_Entry = tuple[schema.RecipientSpec, LawFile[schema.DirectoryFile], Place]


def uncovered(files: LawFiles, law: Law) -> Iterator[Finding]:
    """What is wrong with the directory."""
    entries: list[_Entry] = [
        (spec, file, ("recipients", number))
        for file in files.directory
        for number, spec in enumerate(file.content.recipients)
    ]
    days = _days(law)
    yield from _periods(entries)
    yield from _roles(entries, law, days)
    for entry in entries:
        if entry[0].by_unit is not None:
            yield from _counties(entry, files, law, days)


def _days(law: Law) -> tuple[date, ...]:
    """The release's first day, and every later one on which the directory or a duty changes."""
    first = law.release.in_force_from
    changes = set(law.directory.changes())
    for duty in law.duties:
        for version in duty.versions:
            changes |= version.spec.effective.days()
    return first, *sorted(day for day in changes if day > first)


def _periods(entries: list[_Entry]) -> Iterator[Finding]:
    by_role: dict[tuple[str, str], list[_Entry]] = {}
    for entry in entries:
        by_role.setdefault((entry[0].role, entry[0].jurisdiction), []).append(entry)
    for (role, jurisdiction), several in by_role.items():
        ordered = sorted(several, key=lambda entry: entry[0].effective.from_)
        for (earlier, _, _), (later, file, place) in pairwise(ordered):
            if earlier.effective.until != later.effective.from_:
                what = f"role {role} of {jurisdiction} has a gap or two recipients on one day"
                message = f"{what}; write until: {later.effective.from_} in the entry before"
                yield file.finding((*place, "effective"), message)


def _roles(entries: list[_Entry], law: Law, days: tuple[date, ...]) -> Iterator[Finding]:
    """Roles that nobody fills on a day on which a duty names them: the first such day, at the entry nearest to it."""
    told: set[tuple[str, str]] = set()
    for duty in law.duties:
        wanted = duty.spec.recipient_role, duty.spec.jurisdiction
        filled = [entry for entry in entries if (entry[0].role, entry[0].jurisdiction) == wanted]
        owed = (day for day in days if duty.version_on(day) is not None)
        empty = next((day for day in owed if not any(spec.effective.holds(day) for spec, _, _ in filled)), None)
        if empty is not None and wanted not in told:
            told.add(wanted)
            before = [entry for entry in filled if entry[0].effective.from_ <= empty]
            _, file, place = max(before or filled, key=lambda entry: entry[0].effective.from_)
            message = f"nobody fills the role {wanted[0]} of {wanted[1]} on {empty}, and {duty.spec.id} is owed then"
            yield file.finding((*place, "effective"), f"{message}; correct the days, or add an entry")


def _counties(entry: _Entry, files: LawFiles, law: Law, days: tuple[date, ...]) -> Iterator[Finding]:
    spec, file, place = entry
    tables = {name: table for one in files.directory for name, table in one.content.units.items()}
    lists = {code: listed for one in files.directory for code, listed in one.content.counties.items()}
    table, listed = tables[spec.by_unit or ""], lists.get(spec.jurisdiction)
    if listed is None:
        what = f"no list of counties for {spec.jurisdiction}"
        yield file.finding((*place, "by_unit"), f"{what}; add one to `counties`, so that none is forgotten")
        return
    root = files.release.path.parent
    counties, clashes = law.counties[spec.jurisdiction], dict(law.directory.clashes(spec.by_unit or ""))
    in_table = law.directory.counties(spec.by_unit or "")
    for code, name in counties.items():
        held = (day for day in days if spec.effective.holds(day))
        empty = (day for day in held if law.directory.resolve(spec.role, spec.jurisdiction, code, day) is None)
        day = next(empty, None)
        if day is not None and code not in clashes:
            message = f"county {code} ({name}) has no recipient in the role {spec.role} on {day}"
            where, column = (table.file, table.county) if code in in_table else (listed.file, listed.county)
            yield _at_row(root, where, column, code, f"{message}; correct its row in directory/{table.file}")
    for code, wrong in clashes.items():
        message = f"county {code} has {wrong}; correct its row in directory/{table.file}"
        yield _at_row(root, table.file, table.county, code, message)
    unknown = f"there is no such county in directory/{listed.file}; correct the code"
    for code in in_table:
        if code not in counties:
            yield _at_row(root, table.file, table.county, code, f"county {code}: {unknown}")
    for number, override in enumerate(spec.overrides):
        if override.county not in counties:
            yield file.finding((*place, "overrides", number, "county"), f"county {override.county}: {unknown}")
    ordered = sorted(enumerate(spec.overrides), key=lambda item: (item[1].county, item[1].effective.from_))
    for (_, earlier), (number, later) in pairwise(ordered):
        if earlier.county == later.county and earlier.effective.holds(later.effective.from_):
            message = f"county {later.county} has two recipients on {later.effective.from_}; correct `until`"
            yield file.finding((*place, "overrides", number, "effective"), message)


def _at_row(root: Path, file: str, column: str, county: str, message: str) -> Finding:
    name = f"directory/{file}"
    return Finding(name, row_of(root / name, column, county), message)

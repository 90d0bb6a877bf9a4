"""The files of one release, read and validated, with the lines that an error has to name."""

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from rulebook import schema
from rulebook.deadlines import CalendarsFile
from rulebook.directory import UnitRow
from rulebook.errors import LawError
from rulebook.files import line_of, parse_yaml, read_text, validate
from rulebook.parameters import ParametersFile
from rulebook.screening import ScreeningFile
from rulebook.training import TrainingFile

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[int | str, ...]
"""The way to a part of a file: keys and positions."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with the law, where it is, and what to write instead."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.message}"


@dataclass(frozen=True, slots=True)
class LawFile(Generic[Model]):
    path: Path
    name: str
    """The way to it from the top of the release."""
    content: Model

    def finding(self, place: Place, message: str) -> Finding:
        return Finding(self.name, line_of(self.path, place), message)


@dataclass(frozen=True, slots=True)
class LawFiles:
    """Every file of a release, validated one by one."""

    release: LawFile[schema.Release]
    policy: LawFile[schema.PolicyFile]
    jurisdictions: tuple[LawFile[schema.Jurisdictions], ...]
    facts: tuple[LawFile[schema.FactsFile], ...]
    blocks: tuple[LawFile[schema.BlocksFile], ...]
    calendars: tuple[LawFile[CalendarsFile], ...]
    sources: tuple[LawFile[schema.SourcesFile], ...]
    duties: tuple[LawFile[schema.DutiesFile], ...]
    programs: tuple[LawFile[schema.ProgramsFile], ...]
    directory: tuple[LawFile[schema.DirectoryFile], ...]
    disclosure: tuple[LawFile[schema.DisclosureFile], ...]
    parameters: tuple[LawFile[ParametersFile], ...]
    screening: tuple[LawFile[ScreeningFile], ...]
    training: tuple[LawFile[TrainingFile], ...]
    """None in releases from before there was a catalog of courses."""


def names(files: Iterable[LawFile[Any]], attribute: str) -> dict[str, object]:
    """The entries of one kind, over all its files."""
    return {key: value for file in files for key, value in getattr(file.content, attribute).items()}


class Source:
    """A folder of law files. A kind is `<kind>.yaml`, every file of the folder `<kind>/`, or both."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._read: dict[str, Any] = {}

    def one(self, kind: str, model: type[Model]) -> LawFile[Model]:
        return self._file(self.root / f"{kind}.yaml", model)

    def all(self, kind: str, model: type[Model]) -> tuple[LawFile[Model], ...]:
        """Raises LawError where there is none."""
        found = self.any(kind, model)
        if not found:
            raise LawError(f"{kind}.yaml, line 1: the law release has no {kind}; write this file, or one in {kind}/")
        return found

    def any(self, kind: str, model: type[Model]) -> tuple[LawFile[Model], ...]:
        """None of a kind that older releases did not have: they load for ever."""
        single = self.root / f"{kind}.yaml"
        paths = ([single] if single.exists() else []) + sorted((self.root / kind).glob("*.yaml"))
        return tuple(self._file(path, model) for path in paths)

    def units(self, table: schema.UnitTable) -> tuple[UnitRow, ...]:
        rows = self._rows(table.file, (table.unit, table.county), table.county)
        return tuple(UnitRow(row[table.unit], row[table.county], _period(row)) for row in rows)

    def counties(self, listed: schema.CountyList) -> dict[str, str]:
        """Name of each county of a jurisdiction, by its code."""
        rows = self._rows(listed.file, (listed.name, listed.county), listed.county)
        return {row[listed.county]: row[listed.name] for row in rows}

    def digest(self, policy: schema.PolicyFile) -> str:
        """SHA-256 over everything that was read, and the policy in force."""
        content = self._read | {"policy in force": policy.model_dump(mode="json")}
        canonical = json.dumps(content, sort_keys=True, default=str, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def _rows(self, file: str, columns: tuple[str, ...], county: str) -> Iterator[dict[str, str]]:
        name = f"directory/{file}"
        text = read_text(self.root / name, name)
        self._read[name] = text
        for line, row in _csv(name, text, columns):
            code = row[county]
            if len(code) != 5 or not (code.isascii() and code.isdigit()) or not all(row[name] for name in columns):
                raise LawError(f"{name}, line {line}: write {', '.join(columns)}; {county} is a code of five digits")
            try:
                _period(row)
            except ValueError:
                raise LawError(f"{name}, line {line}: write dates as YYYY-MM-DD, the later one last") from None
            yield row

    def _file(self, path: Path, model: type[Model]) -> LawFile[Model]:
        name = path.relative_to(self.root).as_posix()
        content = _parsed(read_text(path, name), name)
        self._read[name] = content
        return LawFile(path, name, validate(model, content, path, name))


@lru_cache(maxsize=256)
def _parsed(text: str, name: str) -> Any:
    """The content of a file of the law, which nobody changes. Parsed once for a text: a check, a comparison and a
    replay read a release several times, and a release has most files in common with the one before."""
    return parse_yaml(text, name)


def row_of(path: Path, column: str, wanted: str) -> int:
    """The line of the last row of a CSV file with a value, or of its head."""
    lines = [line for line, row in _csv(path.name, read_text(path, path.name), (column,)) if row[column] == wanted]
    return lines[-1] if lines else 1


def _csv(name: str, text: str, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows with their lines; what a short row leaves out is empty."""
    rows = csv.DictReader(text.splitlines(), restval="")
    try:
        missing = [column for column in columns if column not in (rows.fieldnames or ())]
        if missing:
            raise LawError(f"{name}, line 1: there is no column {', '.join(missing)}; write it in the head")
        for row in rows:
            if None in row:
                raise LawError(f"{name}, line {rows.line_num}: more values than columns; remove or quote a comma")
            yield rows.line_num, row
    except csv.Error as error:
        raise LawError(f"{name}, line {rows.line_num}: {error}; correct the row") from None


def _period(row: dict[str, str]) -> schema.Period:
    until = row.get("effective_until")
    return schema.Period.model_validate(
        {
            "from": date.fromisoformat(row.get("effective_from") or "0001-01-01"),
            "until": date.fromisoformat(until) if until else None,
        }
    )

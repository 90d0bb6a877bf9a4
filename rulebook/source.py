"""The files of one release, read and validated, with the lines that an error has to name."""

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from rulebook import schema
from rulebook.directory import UnitRow
from rulebook.errors import LawError
from rulebook.files import line_of, read_yaml, validate

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
    content: Model

    def finding(self, place: Place, message: str) -> Finding:
        return Finding(self.path.name, line_of(self.path, place), message)


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
            raise LawError(f"the law release has no {kind}; write {kind}.yaml or a file in {kind}/")
        return found

    def any(self, kind: str, model: type[Model]) -> tuple[LawFile[Model], ...]:
        """None of a kind that older releases did not have: they load for ever."""
        single = self.root / f"{kind}.yaml"
        paths = ([single] if single.exists() else []) + sorted((self.root / kind).glob("*.yaml"))
        return tuple(self._file(path, model) for path in paths)

    def units(self, table: schema.UnitTable) -> tuple[UnitRow, ...]:
        return tuple(
            UnitRow(row[table.unit], row[table.county], _period(row)) for row in self._rows(table.file, table.county)
        )

    def counties(self, listed: schema.CountyList) -> dict[str, str]:
        """Name of each county of a jurisdiction, by its code."""
        return {row[listed.county]: row[listed.name] for row in self._rows(listed.file, listed.county)}

    def digest(self, policy: schema.PolicyFile) -> str:
        """SHA-256 over everything that was read, and the policy in force."""
        content = self._read | {"policy in force": policy.model_dump(mode="json")}
        canonical = json.dumps(content, sort_keys=True, default=str, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def _rows(self, file: str, county: str) -> Iterator[dict[str, str]]:
        path = self.root / "directory" / file
        if not path.exists():
            raise LawError(f"directory/{file} is missing; add it or correct `file`")
        text = path.read_text(encoding="utf-8")
        self._read[f"directory/{file}"] = text
        for line, row in enumerate(csv.DictReader(text.splitlines()), start=2):
            code = row.get(county) or ""
            if (
                len(code) != 5
                or not code.isdigit()
                or not all(row[key] for key in row if key and key[:9] != "effective")
            ):
                raise LawError(f"{file}, line {line}: write a unit and a county code of five digits")
            try:
                _period(row)
            except ValueError:
                raise LawError(f"{file}, line {line}: write dates as YYYY-MM-DD, the later one last") from None
            yield row

    def _file(self, path: Path, model: type[Model]) -> LawFile[Model]:
        content = read_yaml(path)
        self._read[path.relative_to(self.root).as_posix()] = content
        return LawFile(path, validate(model, content, path))


def _period(row: dict[str, str]) -> schema.Period:
    until = row.get("effective_until")
    return schema.Period.model_validate(
        {
            "from": date.fromisoformat(row.get("effective_from") or "0001-01-01"),
            "until": date.fromisoformat(until) if until else None,
        }
    )

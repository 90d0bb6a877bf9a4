"""The persons that a `law` command is asked about, read from files; what cannot be used is named by file and line."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from contracts.facts import EncounterReport, Screening, SubjectFacts
from kernel.errors import ConfigurationError
from kernel.http.problems import field_errors
from rulebook.cases import Case
from rulebook.errors import LawError
from rulebook.files import line_of, read_yaml
from rulebook.loader import Law
from rulebook.problems import Problem, moment_problems, subject_problems

LINES = (".jsonl", ".ndjson")
"""One person or report per line: for many of them."""
KINDS = (".json", ".yaml", ".yml", *LINES)
_AMENDMENT = ".amendment.json"
"""Changes to the report beside it, and nobody on their own."""
_SHAPE = "write a report as in examples/encounters, or the body of POST /v1/screen"


@dataclass(frozen=True, slots=True)
class _Document:
    path: Path
    content: Any
    line: int | None = None
    """Of a file with one document per line."""

    def at(self, place: Sequence[int | str] = ()) -> str:
        return f"{self.path}, line {self.line or line_of(self.path, tuple(place))}"


def read_case(path: Path, number: int, law: Law | None, now: datetime) -> Case:
    """The subject `number` of a report, or the one of a screening, as `law` allows it; nothing is later than `now`.

    Raises ConfigurationError, without any value.
    """
    laws = () if law is None else (law,)
    found = {case_number: case for document in _read(path) for case_number, case in _cases(document, laws, now)}
    if not found:
        raise ConfigurationError(f"{path} tells of nobody; {_SHAPE}")
    if len(found) == 1 and next(iter(found)) == 0:
        return found[0]
    if number not in found:
        raise ConfigurationError(f"{path} has no subject {number}; give --subject {' or '.join(map(str, found))}")
    return found[number]


def read_cases(path: Path, laws: Sequence[Law], now: datetime) -> tuple[Case, ...]:
    """Every person of a file, or of all files of a folder but amendments, in the order of their names.

    A fact may be of any of the laws' catalogs; nothing is later than `now`. Raises ConfigurationError, without any
    value.
    """
    files = [path]
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if one.suffix in KINDS and not one.name.endswith(_AMENDMENT))
    cases = tuple(case for file in files for document in _read(file) for _, case in _cases(document, laws, now))
    if not cases:
        raise ConfigurationError(f"{path} tells of nobody; {_SHAPE}, in files named {', '.join(KINDS)}")
    return cases


def _read(path: Path) -> Iterator[_Document]:
    if path.suffix not in KINDS:
        raise ConfigurationError(f"{path} is of no kind that is read; name it {', '.join(KINDS)}, and {_SHAPE}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}); {_SHAPE}") from None
    if path.suffix in (".yaml", ".yml"):
        try:
            yield _Document(path, _plain(read_yaml(path, path.name)))
        except LawError as error:
            raise ConfigurationError(f"{path.parent}/{error}") from None
        return
    lines = enumerate(data.splitlines(), start=1) if path.suffix in LINES else ((0, data),)
    for line, text in lines:
        if line and not text.strip():
            continue
        try:
            yield _Document(path, orjson.loads(text), line or None)
        except orjson.JSONDecodeError as error:
            raise ConfigurationError(f"{path}, line {line or error.lineno}: this is not JSON; {_SHAPE}") from None


def _plain(content: Any) -> Any:
    """As JSON would have it: YAML reads unquoted dates as such."""
    if isinstance(content, dict):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_plain(item) for item in content]
    return content.isoformat() if isinstance(content, date) else content


def _cases(document: _Document, laws: Sequence[Law], now: datetime) -> Iterator[tuple[int, Case]]:
    """By the number of the subject; 0 for the one person of a screening."""
    content = document.content
    if not isinstance(content, dict) or not {"subject", "subjects"} & content.keys():
        raise ConfigurationError(f"{document.at()}: neither `subject` nor `subjects` is there; {_SHAPE}")
    model: type[BaseModel] = EncounterReport if "subjects" in content else Screening
    try:
        read = model.model_validate(content)
    except ValidationError as error:
        raise _invalid(document, error) from None
    name = document.path.stem if document.line is None else f"{document.path.stem}:{document.line}"
    if isinstance(read, EncounterReport):
        discovered_at = read.discovered_at or read.encounter_at
        _demand(document, [[*moment_problems("/discovered_at", discovered_at, now)]])
        for position, subject in enumerate(read.subjects):
            number = subject.subject_number
            facts = read.facts_of(subject)
            _demand_held(document, f"/subjects/{position}", facts, read.encounter_at, laws, now)
            label = name if len(read.subjects) == 1 else f"{name}#{number}"
            yield number, Case(label, facts, read.encounter_at, discovered_at)
    else:
        assert isinstance(read, Screening)
        _demand_held(document, "/subject", read.facts(), read.encounter_at, laws, now)
        yield 0, Case(name, read.facts(), read.encounter_at, read.encounter_at)


def _demand_held(
    document: _Document, pointer: str, facts: SubjectFacts, encounter_at: datetime, laws: Sequence[Law], now: datetime
) -> None:
    """Raises ConfigurationError for what neither law allows."""
    _demand(document, [[*moment_problems("/encounter_at", encounter_at, now)]])
    found = ([*subject_problems(facts, law, encounter_at=encounter_at, now=now)] for law in laws)
    _demand(document, [[(pointer + place, detail) for place, detail in problems] for problems in found])


def _demand(document: _Document, found: Sequence[Sequence[Problem]]) -> None:
    """Raises ConfigurationError for what is wrong in each of the lists."""
    first, *others = map(dict, found or [[]])
    wrong = {place: detail for place, detail in first.items() if all(place in other for other in others)}
    if wrong:
        raise ConfigurationError("; ".join(_told(document, place, detail) for place, detail in wrong.items()))


def _told(document: _Document, pointer: str, detail: str) -> str:
    steps = (step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])
    place = [int(step) if step.isdigit() else step for step in steps]
    return f"{document.at(place)}: {pointer}: {detail}"


def _invalid(document: _Document, error: ValidationError) -> ConfigurationError:
    found: Iterable[dict[str, Any]] = (dict(problem) for problem in error.errors(include_url=False))
    problems = [problem | {"loc": ("body", *problem["loc"])} for problem in found]
    told = (_told(document, bad.pointer, bad.detail) for bad in field_errors(problems, document.content))
    return ConfigurationError("; ".join(told))

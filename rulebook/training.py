"""Courses on trafficking, and records of who completed one: cited where a protocol demands training.

Training under s. 566.223.3 RSMo is permissive. Nobody needs any to notify, and no notice waits for it.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from rulebook.conditions import Node
from rulebook.dates import plus_months
from rulebook.errors import LawError
from rulebook.files import line_of, read_yaml, validate
from rulebook.schema import Cited, Id, Line, Period
from rulebook.screening import Administrator, Protocol, Protocols

Topic = Literal["identification", "law", "response", "screening", "referral"]


class Course(Node):
    id: Id
    title: Line
    provider: Line
    audience: tuple[Administrator, ...] = Field(strict=False, min_length=1)
    topics: tuple[Topic, ...] = Field(strict=False, min_length=1)
    hours: int | None = Field(default=None, ge=1, le=1000)
    """The least that a record may state; none where no text sets a number."""
    valid_months: int | None = Field(default=None, ge=1)
    """After which it is to be repeated; none where no text says so."""
    protocols: tuple[Line, ...] = Field(default=(), strict=False)
    """Protocol and version that it trains for, as `id@version`; none: a course on trafficking in general."""
    effective: Period
    """While it is offered."""
    cite: Cited
    verified: bool
    note: Line | None = None

    @model_validator(mode="after")
    def _says_what_is_not_verified(self) -> "Course":
        if not self.verified and self.note is None:
            raise ValueError("what is not verified says so in a note: what was seen, and what is to be checked")
        return self


class TrainingFile(Node):
    courses: tuple[Course, ...] = Field(strict=False)


class TrainingRecord(Node):
    """That a person completed a course; kept by the agency."""

    person_ref: Id
    course_id: Id
    provider: Line
    hours: int = Field(ge=1, le=1000)
    completed_on: date
    expires_on: date | None = None
    protocols: tuple[Line, ...] = Field(default=(), strict=False)
    """Protocol and version that it trained for, as `id@version`; none: those of the course."""

    @model_validator(mode="after")
    def _forward(self) -> "TrainingRecord":
        if self.expires_on is not None and self.expires_on <= self.completed_on:
            raise ValueError("expires_on must be later than completed_on")
        return self

    def covers(self, protocol: Protocol, on: date) -> bool:
        """Whether it entitles to administer a protocol on a day."""
        in_time = self.completed_on <= on and (self.expires_on is None or on < self.expires_on)
        trained = f"{protocol.id}@{protocol.version}" in self.protocols
        return in_time and (trained or self.course_id == protocol.training_required)


class TrainingRecords(Node):
    records: tuple[TrainingRecord, ...] = Field(strict=False)


Courses = Mapping[str, Course]
"""By id."""


def record_problems(record: TrainingRecord, courses: Courses, protocols: Protocols) -> Iterator[tuple[str, str]]:
    """What the catalog does not bear out: the field, and what to write instead. Repeats nothing about the person."""
    course = courses.get(record.course_id)
    held = {f"{name}@{version}" for name, version in protocols}
    if any(protocol not in held for protocol in record.protocols):
        yield "protocols", "names a protocol or version that law/screening/ does not hold; correct it"
    if course is None:
        yield "course_id", f"is not a course of law/training/; write one of {', '.join(sorted(courses))}"
        return
    if not course.effective.holds(record.completed_on):
        yield "completed_on", f"{course.id} was not offered on that day; name the course that was"
    if course.hours is not None and record.hours < course.hours:
        yield "hours", f"{course.id} takes {course.hours} hours; record it when it is completed"
    if course.protocols and not set(record.protocols) <= set(course.protocols):
        yield "protocols", f"{course.id} trains for {', '.join(course.protocols)}; leave the others out"
    if course.valid_months is not None:
        last = plus_months(record.completed_on, course.valid_months)
        if record.expires_on is None or record.expires_on > last:
            yield "expires_on", f"{course.id} is to be repeated after {course.valid_months} months; write that day"


def check_records(path: Path, courses: Courses, protocols: Protocols) -> tuple[str, ...]:
    """All that is wrong with a file of training records, one line each: file, line, what to write instead."""
    try:
        content = read_yaml(path, path.name)
        found = validate(TrainingRecords, content, path, path.name)
    except LawError as error:
        return tuple(str(error).splitlines())
    return tuple(
        f"{path.name}, line {line_of(path, ('records', number, field))}: {field} {problem}"
        for number, record in enumerate(found.records)
        for field, problem in record_problems(record, courses, protocols)
    )


def catalog_problems(courses: Iterable[Course], protocols: Iterable[Protocol]) -> Iterator[tuple[str, str]]:
    """Courses and protocols that name one another: the id of the entry, and what is wrong with it."""
    offered, listed = list(courses), list(protocols)
    held = {f"{protocol.id}@{protocol.version}" for protocol in listed}
    for course in offered:
        for named in course.protocols:
            if named not in held:
                yield course.id, f"there is no protocol {named}; add it to law/screening/ or correct the name"
    ids = {course.id for course in offered}
    for protocol in listed:
        if protocol.training_required is not None and protocol.training_required not in ids:
            yield protocol.id, f"there is no course {protocol.training_required}; add it to law/training/"

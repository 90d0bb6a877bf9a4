"""An encounter as it is stored, and what one request changes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.facts import FieldGroup

Groups = Mapping[FieldGroup, Any]
"""JSON values of the field groups of one subject that hold anything."""


@dataclass(frozen=True, slots=True)
class SubjectRecord:
    """One subject as stored."""

    id: UUID
    number: int
    event_id: UUID
    """The last event about this subject: it causes the next one, and the stored facts are sealed for it."""
    record_version: int
    """Of the last report that said anything about this subject."""
    digest: bytes
    """Keyed hash of what that report said."""
    groups: Groups | None = field(repr=False)
    """None when the subject was erased, or the facts have not been opened."""


@dataclass(frozen=True, slots=True)
class EncounterRecord:
    """One encounter as stored: what all its subjects share, and the subjects."""

    id: UUID
    agency: str
    jurisdiction: str
    incident: bytes
    """Blind index of agency and incident number."""
    correlation_id: UUID
    record_version: int
    digest: bytes
    encounter_at: datetime
    discovered_at: datetime | None
    accepted_at: datetime
    subjects: tuple[SubjectRecord, ...]

    def subject(self, number: int) -> SubjectRecord | None:
        return next((subject for subject in self.subjects if subject.number == number), None)


@dataclass(frozen=True, slots=True)
class SubjectChange:
    """New facts about one subject: the full snapshot."""

    number: int
    groups: Groups = field(repr=False)
    changed: tuple[FieldGroup, ...]
    """The groups that differ from what was stored; all of them for a new subject."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a report said last of one subject, to know it again; changes no facts."""

    record_version: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a stored encounter. Empty `subjects`: nothing that anybody has to be told."""

    record_version: int
    digest: bytes
    encounter_at: datetime
    discovered_at: datetime | None
    subjects: tuple[SubjectChange, ...]
    said: Mapping[int, Said] = field(default_factory=dict)
    """By subject number."""


def changed_groups(before: Groups, after: Groups) -> tuple[FieldGroup, ...]:
    """The groups whose values differ, in a fixed order."""
    return tuple(group for group in FieldGroup if before.get(group) != after.get(group))


def subject_changes(
    record: EncounterRecord, after: Mapping[int, Groups], *, everyone: bool
) -> tuple[SubjectChange, ...]:
    """What differs from the record, by subject number; `everyone`: also who only shares a changed time.

    A subject of the record that `after` does not name keeps its facts.
    """
    changes = []
    for number, groups in sorted(after.items()):
        stored = record.subject(number)
        changed = changed_groups((stored.groups if stored else None) or {}, groups)
        if changed or everyone:
            changes.append(SubjectChange(number, groups, changed))
    return tuple(changes)

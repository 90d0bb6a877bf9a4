"""A person did what only a person can do, such as the oral report to the hotline: the agency says so, once."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from kernel.errors import FieldError
from rulebook.duties import reported_duties
from rulebook.loader import Law
from services.intake.application.accept import BlindIndex
from services.intake.domain.checks import moment_problems


class Task(BaseModel):
    """What somebody did, about which subject. Which duty it was, and its reference, are stored sealed only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    duty_id: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    """A duty that no notice fulfils, as `GET /v1/encounters/{id}/obligations` of the router names it."""
    subject_number: Annotated[int, Field(ge=1, le=999)]
    completed_at: AwareDatetime
    reference: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """What proves it: the reference of the hotline call (RSMo 210.115), the number of a statement."""


@dataclass(frozen=True, slots=True)
class TaskWrite:
    """A completed task to store, with the event that tells of it."""

    event_id: UUID
    encounter_id: UUID
    agency: str
    jurisdiction: str
    correlation_id: UUID
    subject_id: UUID
    causation_id: UUID
    name: bytes
    """Keyed hash of subject and duty: one duty is completed once."""
    content: bytes
    """Keyed hash of what was said."""
    completed_at: datetime
    said: dict[str, str]
    """To be sealed."""
    at: datetime
    traceparent: str | None


def task_problems(task: Task, numbers: set[int], now: datetime, law: Law, jurisdiction: str) -> Iterator[FieldError]:
    """What is wrong with a task, by member; never repeats a value."""
    applicable = law.applies_in(jurisdiction)
    known = {
        duty.spec.id for duty in law.duties if duty.spec.jurisdiction in applicable and duty.spec.channel != "standing"
    }
    if task.duty_id not in known:
        yield FieldError("/duty_id", "is not a duty of this jurisdiction; see law/duties")
    elif task.duty_id in reported_duties(law, jurisdiction):
        yield FieldError("/duty_id", "is fulfilled by a notice, and ends with its recipient's acknowledgement")
    if task.subject_number not in numbers:
        yield FieldError("/subject_number", "is not a subject of this encounter")
    yield from moment_problems("/completed_at", task.completed_at, now)


def content_of(blind: BlindIndex, encounter_id: UUID, task: Task) -> bytes:
    """The same for the same task, whatever its time zone."""
    at = task.completed_at.astimezone(UTC).isoformat()
    said = [str(encounter_id), "task", task.duty_id, task.subject_number, at, task.reference]
    return blind("intake.content", json.dumps(said))


def name_of(blind: BlindIndex, subject_id: UUID, duty_id: str) -> bytes:
    """What finds a completed task again without telling which it was."""
    return blind("intake.task", f"{subject_id}\0{duty_id}")

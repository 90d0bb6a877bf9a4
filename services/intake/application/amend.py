"""Pure decisions on amendments: what is given is merged into what is stored, and the result is checked as a whole."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from contracts.facts import FieldGroup, SubjectFacts
from kernel.errors import Conflict, FieldError, Malformed, SubjectErased
from kernel.http.problems import field_errors
from rulebook.loader import Law
from services.intake.application.accept import BlindIndex, incident_index, invalid
from services.intake.domain.checks import moment_problems, subject_problems
from services.intake.domain.merge_patch import merge_patch, too_deep
from services.intake.domain.record import Change, EncounterRecord, Groups, subject_changes

Patch = dict[str, Any]
"""Members of a field group: a value replaces, null takes away, an object is merged (RFC 7396)."""


class Amending(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SubjectAmendment(Amending):
    """What changes about one subject. A subject_number that is new to the encounter adds a subject, and then needs
    `age` and `circumstances`."""

    subject_number: Annotated[int, Field(ge=1, le=999)]
    age: Patch | Literal["unknown"] | None = None
    circumstances: Patch | None = None
    status: Patch | None = None
    identity: Patch | None = None
    narrative: str | None = None


class Amendment(Amending):
    """What changes in an encounter; everything that is left out stays as it is."""

    record_version: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """The record's new version, if the records system counts; it must then be greater than the stored one."""
    discovered_at: AwareDatetime | None = None
    """Null takes it away: then `encounter_at` counts."""
    encounter: Patch = Field(default_factory=dict)
    subjects: Annotated[tuple[SubjectAmendment, ...], Field(max_length=100)] = ()

    @model_validator(mode="after")
    def _distinct_subjects(self) -> Self:
        numbers = [subject.subject_number for subject in self.subjects]
        if len(set(numbers)) != len(numbers):
            raise ValueError("subject_number must be different for each subject")
        return self


def content_digest(blind: BlindIndex, encounter_id: UUID, amendment: Amendment) -> bytes:
    """Keyed hash of what is asked for. Raises Malformed for a body that is nested too deeply to be anything of ours."""
    if too_deep([amendment.encounter, *(group for one in amendment.subjects for group in _given(one).values())]):
        raise Malformed("The body is nested too deeply.")
    # What is null counts, what is left out does not.
    asked = amendment.model_dump(exclude_unset=True)
    return blind("intake.content", json.dumps([str(encounter_id), asked], sort_keys=True, default=str))


def decide(record: EncounterRecord, amendment: Amendment, now: datetime, law: Law, blind: BlindIndex) -> Change:
    """What an amendment changes.

    Raises Invalid (the merged record is checked as a whole), Conflict for a record version that is not newer,
    SubjectErased.
    """
    errors = list(moment_problems("/discovered_at", amendment.discovered_at, now))
    discovered_at = record.discovered_at
    if "discovered_at" in amendment.model_fields_set and not errors:
        discovered_at = amendment.discovered_at.astimezone(UTC) if amendment.discovered_at else None

    open_groups = {one.number: one.groups for one in record.subjects if one.groups is not None}
    if not open_groups:
        raise SubjectErased("every subject of this encounter was erased")
    shared = next(iter(open_groups.values()))[FieldGroup.ENCOUNTER]
    if amendment.encounter:
        merged, found = _checked({FieldGroup.ENCOUNTER: merge_patch(shared, amendment.encounter)}, "")
        shared = merged[FieldGroup.ENCOUNTER]
        errors += found
        if not found and incident_index(blind, record.agency, shared["incident_number"]) != record.incident:
            errors.append(FieldError("/encounter/incident_number", "names the record and cannot be amended"))

    after: dict[int, Groups] = {
        number: {**groups, FieldGroup.ENCOUNTER: shared} for number, groups in open_groups.items()
    }
    for index, subject in enumerate(amendment.subjects):
        stored = record.subject(subject.subject_number)
        if stored is not None and stored.groups is None:
            raise SubjectErased("a subject of this amendment was erased")
        before = {} if stored is None else dict(stored.groups or {})
        pointer = f"/subjects/{index}"
        given = _given(subject)
        own, found = _checked(_merged(before, given), pointer)
        if not found:
            problems = subject_problems(SubjectFacts.from_groups(dict(own)), pointer, record.encounter_at, now, law)
            # What was stored under an earlier catalogue stays; only what is sent now is held against today's.
            found += [one for one in problems if _is_given(given, one.pointer.removeprefix(pointer))]
        found += [
            FieldError(f"{pointer}/{group}", "is required")
            for group in (FieldGroup.AGE, FieldGroup.CIRCUMSTANCES)
            if group not in own and not any(problem.pointer.startswith(f"{pointer}/{group}") for problem in found)
        ]
        errors += found
        after[subject.subject_number] = {**own, FieldGroup.ENCOUNTER: shared}
    if errors:
        raise invalid(errors)

    retimed = discovered_at != record.discovered_at
    changes = subject_changes(record, after, everyone=retimed)
    version = amendment.record_version
    if version is not None and (version < record.record_version or (version == record.record_version and changes)):
        raise Conflict("The stored record has this record_version or a newer one: raise record_version.")
    return Change(version or record.record_version, record.digest, record.encounter_at, discovered_at, changes)


def _given(subject: SubjectAmendment) -> Patch:
    """The groups that the amendment names, also those it takes away."""
    return {name: getattr(subject, name) for name in subject.model_fields_set if name != "subject_number"}


def _is_given(patch: Any, pointer: str) -> bool:
    """Whether the amendment itself says what is at this place of the merged subject."""
    for step in pointer.split("/")[1:]:
        if not isinstance(patch, dict):
            break  # A value that stands there as a whole, such as a list.
        name = step.replace("~1", "/").replace("~0", "~")
        if name not in patch:
            return False
        patch = patch[name]
    return True


def _merged(before: Mapping[FieldGroup, Any], given: Patch) -> dict[FieldGroup, Any]:
    own = {group.value: value for group, value in before.items() if group is not FieldGroup.ENCOUNTER}
    merged = merge_patch(own, given)
    if merged.get("age") == "unknown":
        merged["age"] = {}
    return {FieldGroup(name): value for name, value in merged.items()}


def _checked(groups: Groups, pointer: str) -> tuple[Groups, list[FieldError]]:
    """The groups in their stored form, or what is wrong with them, with pointers into the amendment."""
    try:
        return SubjectFacts.from_groups(dict(groups)).by_group(), []
    except ValidationError as error:
        steps = [int(step) if step.isdigit() else step for step in pointer.split("/")[1:]]
        body: Any = {group.value: value for group, value in groups.items()}
        for step in reversed(steps):
            body = {step: body}
        problems = [{**problem, "loc": ("body", *steps, *problem["loc"])} for problem in error.errors()]
        return groups, field_errors(problems, body)

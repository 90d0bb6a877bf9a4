"""Pure decisions on reports: is it new, known already, an amendment of what is stored, or a contradiction?

A record is known by agency, incident number and subject number. Records systems export whole records again and again,
so each part of a report (the encounter, each subject) is compared with what was said of that part before.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any

import orjson

from contracts.facts import EncounterReport, FieldGroup
from kernel.errors import Conflict, FieldError, Forbidden, Invalid, SubjectErased
from rulebook.loader import Law
from services.intake.domain.checks import moment_problems, subject_problems
from services.intake.domain.record import Change, EncounterRecord, Groups, Said, SubjectRecord, subject_changes

BlindIndex = Callable[[str, str], bytes]
"""Keyed hash of a value under a label: equal values can be found, and nothing else learnt."""


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks for a change, and how to know the same request again."""

    client_id: str
    token_id: str
    token: bytes
    """Blind index of client and token id: a token changes something once."""
    key: bytes | None
    """Blind index of client and Idempotency-Key."""
    content: bytes
    """Keyed hash of what is asked for."""
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class ReportedSubject:
    number: int
    groups: Groups = field(repr=False)
    """With the encounter's own group."""
    digest: bytes


@dataclass(frozen=True, slots=True)
class Report:
    """A report that was checked, ready to be compared and stored."""

    request: Request
    agency: str
    incident: bytes
    record_version: int
    encounter_at: datetime
    discovered_at: datetime | None
    digest: bytes
    """Keyed hash of the encounter's own part: its facts and times."""
    subjects: tuple[ReportedSubject, ...]


class Part(Enum):
    """What one part of a report says, compared with what is stored of it."""

    SAME = auto()
    NEWER = auto()
    OTHER = auto()
    """Other content under the same version: not told apart from an error until the facts are compared."""
    SUPERSEDED = auto()


def check_report(report: EncounterReport, agencies: frozenset[str], now: datetime, law: Law) -> None:
    """Raises Forbidden for another agency's report, or Invalid naming every member that is wrong."""
    if report.agency_ori not in agencies:
        raise Forbidden("The token's client may not report for this agency.")
    errors = [
        *moment_problems("/encounter_at", report.encounter_at, now),
        *moment_problems("/discovered_at", report.discovered_at, now),
    ]
    for index, subject in enumerate(report.subjects):
        errors += subject_problems(report.facts_of(subject), f"/subjects/{index}", report.encounter_at, now, law)
    if errors:
        raise invalid(errors)


def invalid(errors: list[FieldError]) -> Invalid:
    return Invalid("Correct the members that `errors` names, then send again.", errors=tuple(errors))


def incident_index(blind: BlindIndex, agency: str, incident_number: str) -> bytes:
    """What finds an agency's incident again without storing its number."""
    return blind("intake.incident", f"{agency}\0{incident_number}")


def identify(
    blind: BlindIndex, *, client_id: str, token_id: str, key: str | None, content: bytes, traceparent: str | None
) -> Request:
    """The request as it will be known again."""
    return Request(
        client_id=client_id,
        token_id=token_id,
        token=blind("intake.token", f"{client_id}\0{token_id}"),
        key=None if key is None else blind("intake.key", f"{client_id}\0{key}"),
        content=content,
        traceparent=traceparent,
    )


def prepare(
    report: EncounterReport,
    blind: BlindIndex,
    *,
    client_id: str,
    token_id: str,
    key: str | None,
    traceparent: str | None,
) -> Report:
    """The report with its parts cut into field groups and hashed."""
    subjects = []
    for subject in report.subjects:
        groups = report.facts_of(subject).by_group()
        own = {group.value: value for group, value in groups.items() if group is not FieldGroup.ENCOUNTER}
        subjects.append(ReportedSubject(subject.subject_number, groups, _digest(blind, own)))
    # In UTC, so that the same moment is the same content in every time zone.
    encounter_at = report.encounter_at.astimezone(UTC)
    discovered_at = report.discovered_at.astimezone(UTC) if report.discovered_at else None
    digest = _digest(blind, [subjects[0].groups[FieldGroup.ENCOUNTER], encounter_at, discovered_at])
    parts = [
        report.agency_ori,
        report.record_version,
        digest.hex(),
        [(one.number, one.digest.hex()) for one in subjects],
    ]
    request = identify(
        blind,
        client_id=client_id,
        token_id=token_id,
        key=key,
        content=_digest(blind, parts),
        traceparent=traceparent,
    )
    return Report(
        request=request,
        agency=report.agency_ori,
        incident=incident_index(blind, report.agency_ori, report.encounter.incident_number),
        record_version=report.record_version,
        encounter_at=encounter_at,
        discovered_at=discovered_at,
        digest=digest,
        subjects=tuple(subjects),
    )


def _digest(blind: BlindIndex, content: Any) -> bytes:
    return blind("intake.content", orjson.dumps(content, option=orjson.OPT_SORT_KEYS).decode())


def same_answer(stored_content: bytes, request: Request) -> None:
    """Raises Conflict when a key or token that has been answered comes with another request."""
    if stored_content != request.content:
        raise Conflict("This Idempotency-Key, or this token, was used for another request: take a new one.")


def compare(stored_version: int, stored_digest: bytes, version: int, digest: bytes) -> Part:
    """What a part says, compared with what the last report said of it."""
    if digest == stored_digest:
        return Part.SAME
    if version > stored_version:
        return Part.NEWER
    return Part.OTHER if version == stored_version else Part.SUPERSEDED


def says_nothing_new(record: EncounterRecord, report: Report) -> bool:
    """True when the report changes nothing: every part is as it was said before, or superseded. Needs no facts."""
    if report.record_version > record.record_version:
        return False
    if compare(record.record_version, record.digest, report.record_version, report.digest) is Part.OTHER:
        return False
    for subject in report.subjects:
        stored = record.subject(subject.number)
        if stored is None or report.record_version > stored.record_version:
            return False
        if compare(stored.record_version, stored.digest, report.record_version, subject.digest) is Part.OTHER:
            return False
    return True


def decide(record: EncounterRecord, report: Report) -> Change:
    """What a report of a known incident changes. Groups and subjects that it leaves out stay as they are.

    Raises Conflict for other content under the same record version, SubjectErased.
    """
    contradictions: list[FieldError] = []
    version, digest = record.record_version, record.digest
    encounter_at, discovered_at = record.encounter_at, record.discovered_at
    open_groups = {one.number: one.groups for one in record.subjects if one.groups is not None}
    shared = next((groups[FieldGroup.ENCOUNTER] for groups in open_groups.values()), None)
    reported_shared = report.subjects[0].groups[FieldGroup.ENCOUNTER]

    part = compare(version, digest, report.record_version, report.digest)
    if part in (Part.NEWER, Part.OTHER):
        times = (report.encounter_at, report.discovered_at or discovered_at)
        if shared is not None and (shared, encounter_at, discovered_at) != (reported_shared, *times):
            if part is Part.OTHER:
                contradictions.append(FieldError("/encounter", _RAISE_VERSION))
            shared = reported_shared
            encounter_at, discovered_at = times
        digest = report.digest
    version = max(version, report.record_version)
    shared = reported_shared if shared is None else shared

    after: dict[int, Groups] = {
        number: {**groups, FieldGroup.ENCOUNTER: shared} for number, groups in open_groups.items()
    }
    said: dict[int, Said] = {}
    for index, subject in enumerate(report.subjects):
        stored = record.subject(subject.number)
        groups = {**subject.groups, FieldGroup.ENCOUNTER: shared}
        if stored is None:
            after[subject.number] = groups
            said[subject.number] = Said(report.record_version, subject.digest)
            continue
        part = compare(stored.record_version, stored.digest, report.record_version, subject.digest)
        if part is Part.SUPERSEDED or (part is Part.SAME and report.record_version <= stored.record_version):
            continue
        if part is not Part.SAME:
            merged = {**_facts_of(stored), **groups}
            if part is Part.OTHER and merged != after[subject.number]:
                contradictions.append(FieldError(f"/subjects/{index}", _RAISE_VERSION))
            after[subject.number] = merged
        said[subject.number] = Said(report.record_version, subject.digest)
    if contradictions:
        raise Conflict(
            "Another content is stored under this record_version: raise record_version to amend the record.",
            errors=tuple(contradictions),
        )
    retimed = (encounter_at, discovered_at) != (record.encounter_at, record.discovered_at)
    changes = subject_changes(record, after, everyone=retimed)
    return Change(version, digest, encounter_at, discovered_at, changes, said)


_RAISE_VERSION = "differs from what is stored under this record_version"


def _facts_of(subject: SubjectRecord) -> Groups:
    if subject.groups is None:
        raise SubjectErased("a subject of this report was erased")
    return subject.groups

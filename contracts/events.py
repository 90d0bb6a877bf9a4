"""The event types: what happened, in typed and versioned models that say nothing about a person.

A new field is optional, or it is a new version with a new class; released versions stay readable for ever. Person
facts travel only in the envelope's sealed groups, named at each class.
"""

from datetime import datetime
from typing import Any, ClassVar, Literal
from uuid import UUID

import msgspec

ENCOUNTERS = "encounters"
NOTICES = "notices"
DETERMINATIONS = "determinations"
TRAIL = "trail"
ACCESS = "access"
READERS = {
    ENCOUNTERS: ("router", "eligibility", "audit"),
    NOTICES: ("intake", "audit"),
    DETERMINATIONS: ("audit",),
    TRAIL: ("audit",),
    ACCESS: ("audit",),
}
"""The services that must handle each topic: what is published is kept by its producer until all of them have."""
TOPICS = tuple(READERS)

Outcome = Literal["due", "not_due", "review"]
ClockKind = Literal["asap", "immediate", "hours", "days", "business_days"]
PriorityClass = Literal["first_notice", "correction", "determination", "replay"]
"""Urgent first: reserved concurrency per class, in this order."""
NoticeKind = Literal["notice", "correction", "withdrawal"]
AcknowledgementStatus = Literal["received", "accepted", "rejected", "done"]
"""A recipient's business answer (compare HL7 FHIR Task.status); separate from HTTP 2xx."""


class UnknownEventType(ValueError):
    """An event of a type or version that this release does not read."""


class EventData(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all event types."""

    TYPE: ClassVar[str]
    TOPIC: ClassVar[str]


class EncounterReported(EventData, frozen=True, kw_only=True):
    """An agency reported the first encounter with one subject. Sealed: every fact group that holds anything."""

    TYPE: ClassVar[str] = "org.firstnotice.encounter.reported.v1"
    TOPIC: ClassVar[str] = ENCOUNTERS
    subject_number: int
    record_version: int
    encounter_at: datetime
    discovered_at: datetime
    accepted_at: datetime


class EncounterAmended(EventData, frozen=True, kw_only=True):
    """The facts about one subject changed. Sealed: the full new snapshot, so that nobody has to merge."""

    TYPE: ClassVar[str] = "org.firstnotice.encounter.amended.v1"
    TOPIC: ClassVar[str] = ENCOUNTERS
    subject_number: int
    record_version: int
    encounter_at: datetime
    discovered_at: datetime
    accepted_at: datetime
    changed_groups: tuple[str, ...] = ()


class EncounterRetracted(EventData, frozen=True, kw_only=True):
    """The agency says that the report was made in error."""

    TYPE: ClassVar[str] = "org.firstnotice.encounter.retracted.v1"
    TOPIC: ClassVar[str] = ENCOUNTERS
    record_version: int
    reason_code: str


class TaskCompleted(EventData, frozen=True, kw_only=True):
    """A person did what only a person can do, such as the oral hotline report (RSMo 210.115).

    Sealed: `acknowledgement`, with the duty (which of them was owed tells age, custody or conduct) and the reference,
    such as the number of the hotline call.
    """

    TYPE: ClassVar[str] = "org.firstnotice.encounter.task_completed.v1"
    TOPIC: ClassVar[str] = ENCOUNTERS
    completed_at: datetime


class SubjectErased(EventData, frozen=True, kw_only=True):
    """The subject's data key was deleted; sealed parts of all its events can no longer be opened."""

    TYPE: ClassVar[str] = "org.firstnotice.encounter.subject_erased.v1"
    TOPIC: ClassVar[str] = ENCOUNTERS
    erased_at: datetime


class DecidedObligation(msgspec.Struct, frozen=True, kw_only=True):
    """One duty that the reporting agency owes and a notice fulfils, as it stands from now on."""

    obligation_id: UUID
    duty_id: str
    outcome: Outcome
    revision: int
    recipient_role: str
    recipient_id: str | None = None
    owner: str | None = None
    """Who has to act while it is open or for review."""
    clock: ClockKind
    due_at: datetime | None = None
    """End of the legal clock; none if the law gives no number."""
    target_at: datetime | None = None
    """When the operator's policy wants it done."""
    review_at: datetime | None = None
    decided_by: Literal["rule", "timer", "human"] = "rule"
    citations: tuple[str, ...] = ()


class ObligationDecided(EventData, frozen=True, kw_only=True):
    """Every duty about one subject was decided, and this is what is new or changed; silence is not a decision.

    Sealed: `basis`, each new or changed decision by duty, with its reasons. Tasks that a person does, and what others
    owe on the same event, stand only there: that a statement on protective custody is due, or a report of conduct
    before 18, tells custody or conduct, and that a report on a child is not due tells an age. `obligations` holds what
    the notices show anyhow: each names its duty and its recipient.
    """

    TYPE: ClassVar[str] = "org.firstnotice.obligation.decided.v1"
    TOPIC: ClassVar[str] = NOTICES
    duties: int
    """How many duties stand decided for the subject, tasks among them."""
    obligations: tuple[DecidedObligation, ...] = ()


class NoticeIssued(EventData, frozen=True, kw_only=True):
    """A notice was stored for sending. Sealed: `disclosure`, exactly what it tells."""

    TYPE: ClassVar[str] = "org.firstnotice.notice.issued.v1"
    TOPIC: ClassVar[str] = NOTICES
    notice_id: UUID
    obligation_id: UUID
    duty_id: str
    recipient_id: str
    revision: int
    kind: NoticeKind
    priority: PriorityClass
    due_at: datetime | None = None
    replaces: UUID | None = None


class NoticeAttempted(EventData, frozen=True, kw_only=True):
    """One attempt to send ended without confirmation; the one that was confirmed is told by NoticeConfirmed."""

    TYPE: ClassVar[str] = "org.firstnotice.notice.attempted.v1"
    TOPIC: ClassVar[str] = NOTICES
    notice_id: UUID
    attempt: int
    started_at: datetime
    finished_at: datetime
    outcome: Literal["retry", "held"]
    http_status: int | None = None
    error: str | None = None


class NoticeConfirmed(EventData, frozen=True, kw_only=True):
    """The recipient's endpoint confirmed receipt (2xx as its contract demands): ends sending, not the duty.

    It tells of the attempt as well, so that a notice that arrives at once costs one event and not two.
    """

    TYPE: ClassVar[str] = "org.firstnotice.notice.confirmed.v1"
    TOPIC: ClassVar[str] = NOTICES
    notice_id: UUID
    obligation_id: UUID
    duty_id: str
    recipient_id: str
    attempt: int
    started_at: datetime
    confirmed_at: datetime
    http_status: int | None = None


class NoticeHeld(EventData, frozen=True, kw_only=True):
    """Sending waits for a person: the endpoint answered 410, its certificate is wrong, or it has no endpoint."""

    TYPE: ClassVar[str] = "org.firstnotice.notice.held.v1"
    TOPIC: ClassVar[str] = NOTICES
    notice_id: UUID
    recipient_id: str
    reason: str
    owner: str


class NoticeAcknowledged(EventData, frozen=True, kw_only=True):
    """The recipient answered. Sealed: `acknowledgement` (case number, comment)."""

    TYPE: ClassVar[str] = "org.firstnotice.notice.acknowledged.v1"
    TOPIC: ClassVar[str] = NOTICES
    notice_id: UUID
    obligation_id: UUID
    duty_id: str
    recipient_id: str
    status: AcknowledgementStatus
    acknowledged_at: datetime


class NoticeEscalated(EventData, frozen=True, kw_only=True):
    """An open obligation climbed its escalation ladder."""

    TYPE: ClassVar[str] = "org.firstnotice.notice.escalated.v1"
    TOPIC: ClassVar[str] = NOTICES
    obligation_id: UUID
    rung: int
    owner: str
    reason: str


class NoticeCorrected(EventData, frozen=True, kw_only=True):
    """A notice no longer stands as it was: never sent (superseded), corrected by a newer one, or withdrawn."""

    TYPE: ClassVar[str] = "org.firstnotice.notice.corrected.v1"
    TOPIC: ClassVar[str] = NOTICES
    notice_id: UUID
    obligation_id: UUID
    how: Literal["superseded_unsent", "corrected", "withdrawn"]
    replaced_by: UUID | None = None


class DeterminationMade(EventData, frozen=True, kw_only=True):
    """All programs were evaluated for one subject. Sealed: `determination`."""

    TYPE: ClassVar[str] = "org.firstnotice.determination.made.v1"
    TOPIC: ClassVar[str] = DETERMINATIONS
    determination_id: UUID
    as_of: datetime
    programs: int
    next_change_on: str | None = None


class DeterminationChanged(EventData, frozen=True, kw_only=True):
    """A later evaluation changed an answer. Sealed: `determination`, again holding all programs."""

    TYPE: ClassVar[str] = "org.firstnotice.determination.changed.v1"
    TOPIC: ClassVar[str] = DETERMINATIONS
    determination_id: UUID
    replaces: UUID
    as_of: datetime
    programs: int
    next_change_on: str | None = None


class Watermark(msgspec.Struct, frozen=True, kw_only=True):
    """Every sequence number of this source and shard up to and including `through` is in the trail."""

    source: str
    shard: int
    through: int


class TrailCheckpointed(EventData, frozen=True, kw_only=True):
    """How much of each source the trail holds."""

    TYPE: ClassVar[str] = "org.firstnotice.trail.checkpointed.v1"
    TOPIC: ClassVar[str] = TRAIL
    size: int
    watermarks: tuple[Watermark, ...]


class RecordRead(EventData, frozen=True, kw_only=True):
    """Somebody read a record (CJIS AU-2)."""

    TYPE: ClassVar[str] = "org.firstnotice.record.read.v1"
    TOPIC: ClassVar[str] = ACCESS
    object_kind: str
    object_id: UUID
    reader: str


class PolicyChanged(EventData, frozen=True, kw_only=True):
    """A service applies another version of law or policy from now on; told once per version."""

    TYPE: ClassVar[str] = "org.firstnotice.policy.changed.v1"
    TOPIC: ClassVar[str] = ACCESS
    policy: str
    """`law` or `policy`."""
    version: str
    replaces: str | None = None
    """What the service applied before; none at its first start."""


class EndpointChanged(EventData, frozen=True, kw_only=True):
    """A recipient's endpoint was registered or changed."""

    TYPE: ClassVar[str] = "org.firstnotice.endpoint.changed.v1"
    TOPIC: ClassVar[str] = ACCESS
    recipient_id: str
    fingerprint: str


class KeyRotated(EventData, frozen=True, kw_only=True):
    """A signing or key-encryption key was replaced."""

    TYPE: ClassVar[str] = "org.firstnotice.key.rotated.v1"
    TOPIC: ClassVar[str] = ACCESS
    owner: str
    key: str


EVENT_TYPES: dict[str, type[EventData]] = {cls.TYPE: cls for cls in EventData.__subclasses__()}


def encode_data(data: EventData) -> Any:
    """JSON-ready members of an event's public part."""
    return msgspec.to_builtins(data)


def decode_data(event_type: str, members: Any) -> EventData:
    """The typed public part. Raises UnknownEventType, or ValueError when a member is missing or has a wrong type."""
    try:
        cls = EVENT_TYPES[event_type]
    except KeyError:
        raise UnknownEventType(event_type) from None
    return msgspec.convert(members, cls)

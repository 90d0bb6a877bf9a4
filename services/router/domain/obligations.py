"""What a new decision on a duty that a notice fulfils changes: which notices to issue, correct, supersede or withdraw.

The rules, once for first reports, amendments, retractions and expired timers:

- whoever is owed a notice and has none gets one; whoever has another content gets a correction with the full content;
- what was certainly never sent is superseded and forgotten; what may have been read is corrected or withdrawn;
- a review takes nothing back: until somebody has settled it, what was told stands;
- nothing is issued when nothing that the recipient is told has changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from contracts.events import ClockKind, NoticeKind, Outcome, PriorityClass
from services.router.domain.identity import notice_id, obligation_id

Stage = Literal["unsent", "maybe_read", "confirmed"]
"""How far a notice came: certainly never read, perhaps read, or confirmed by its recipient."""
How = Literal["superseded_unsent", "corrected", "withdrawn"]
DecidedBy = Literal["rule", "timer", "human"]
Ends = Literal["accepted", "done"]
"""The recipient's answer that ends a duty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What the law says of one duty now. The tags are keyed digests: equal tags, equal content."""

    duty_id: str
    outcome: Outcome
    recipient_role: str
    recipient_id: str | None
    owner: str
    clock: ClockKind
    due_at: datetime | None
    target_at: datetime | None
    review_after: timedelta | None
    priority: PriorityClass
    acknowledgement: Ends
    citations: tuple[str, ...]
    decided_by: DecidedBy
    basis_tag: bytes
    told_tag: bytes
    """Of what the recipient would be told."""

    @property
    def owed_to(self) -> str | None:
        """Who is to be told now."""
        return self.recipient_id if self.outcome == "due" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    """One duty about one subject, as decided last."""

    obligation_id: UUID
    encounter_id: UUID
    subject_id: UUID
    duty_id: str
    outcome: Outcome
    revision: int
    recipient_role: str
    recipient_id: str | None
    owner: str
    clock: ClockKind
    due_at: datetime | None
    target_at: datetime | None
    review_at: datetime | None
    review_expired: bool
    acknowledgement: Ends
    citations: tuple[str, ...]
    decided_by: DecidedBy
    basis_tag: bytes
    met_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The newest notice of an obligation to one recipient: what that recipient knows or is about to learn."""

    notice_id: UUID
    recipient_id: str
    kind: NoticeKind
    priority: PriorityClass
    told_tag: bytes
    stage: Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """A notice to store and send."""

    notice_id: UUID
    recipient_id: str
    revision: int
    kind: NoticeKind
    priority: PriorityClass
    replaces: UUID | None


@dataclass(frozen=True, slots=True)
class Retired:
    """A notice that no longer stands, and is not sent again."""

    notice_id: UUID
    how: How
    replaced_by: UUID | None


@dataclass(frozen=True, slots=True)
class Change:
    """The obligation as it is from now on, and what follows for its notices."""

    obligation: Obligation
    issues: tuple[Issue, ...]
    retired: tuple[Retired, ...]


def plan(
    ruling: Ruling,
    *,
    encounter_id: UUID,
    subject_id: UUID,
    before: Obligation | None,
    review_expired: bool,
    standing: Sequence[Standing],
    now: datetime,
) -> Change | None:
    """What a ruling changes; None if it changes nothing. `standing` holds one notice per recipient at most."""
    candidate = _decided(ruling, encounter_id, subject_id, before, review_expired, now)
    revision = candidate.revision
    issues: list[Issue] = []
    retired: list[Retired] = []

    def issue(recipient: str, kind: NoticeKind, priority: PriorityClass, replaces: UUID | None) -> UUID:
        name = notice_id(encounter_id, subject_id, ruling.duty_id, recipient, revision)
        issues.append(
            Issue(
                notice_id=name,
                recipient_id=recipient,
                revision=revision,
                kind=kind,
                priority=priority,
                replaces=replaces,
            )
        )
        return name

    owed_to = ruling.owed_to
    others = [one for one in standing if one.recipient_id != owed_to and one.kind != "withdrawal"]
    for notice in others if ruling.outcome != "review" else ():
        if _unread(notice):
            retired.append(Retired(notice.notice_id, "superseded_unsent", None))
            continue
        withdrawal = issue(notice.recipient_id, "withdrawal", "correction", notice.notice_id)
        how: How = "superseded_unsent" if notice.stage == "unsent" else "withdrawn"
        retired.append(Retired(notice.notice_id, how, withdrawal))
    if owed_to is not None:
        present = next((notice for notice in standing if notice.recipient_id == owed_to), None)
        if present is None:
            issue(owed_to, "notice", ruling.priority, None)
        elif present.kind == "withdrawal" or present.told_tag != ruling.told_tag:
            kind, priority = _successor(present, ruling.priority)
            newer = issue(owed_to, kind, priority, present.notice_id)
            retired.append(
                Retired(present.notice_id, "superseded_unsent" if present.stage == "unsent" else "corrected", newer)
            )
    if before is not None and not issues and not retired and replace(candidate, revision=before.revision) == before:
        return None
    if owed_to is not None and any(one.recipient_id == owed_to for one in issues):
        # New content wants a new answer.
        candidate = replace(candidate, met_at=None)
    return Change(candidate, tuple(issues), tuple(retired))


def _unread(notice: Standing) -> bool:
    """Nothing of the chain that this notice stands for can have been read: a first notice that never left."""
    return notice.kind == "notice" and notice.stage == "unsent"


def _successor(present: Standing, urgent: PriorityClass) -> tuple[NoticeKind, PriorityClass]:
    """Kind and class of the notice that replaces the present one for the same recipient."""
    if _unread(present):
        return "notice", urgent
    if present.kind == "withdrawal":
        # Who confirmed a withdrawal knows of no notice any more; else the first one still stands there.
        return ("notice" if present.stage == "confirmed" else "correction"), urgent
    # As long as nobody confirmed anything, the first notice has not arrived: its urgency passes on.
    return "correction", "correction" if present.stage == "confirmed" else present.priority


def _decided(
    ruling: Ruling,
    encounter_id: UUID,
    subject_id: UUID,
    before: Obligation | None,
    review_expired: bool,
    now: datetime,
) -> Obligation:
    review_at = None
    if ruling.outcome == "review" and ruling.review_after is not None:
        # A review that goes on keeps its timer: an amendment does not buy time.
        going_on = before is not None and before.outcome == "review"
        review_at = before.review_at if before is not None and going_on and before.review_at else None
        review_at = review_at or now + ruling.review_after
    return Obligation(
        obligation_id=before.obligation_id if before else obligation_id(encounter_id, subject_id, ruling.duty_id),
        encounter_id=encounter_id,
        subject_id=subject_id,
        duty_id=ruling.duty_id,
        outcome=ruling.outcome,
        revision=before.revision + 1 if before is not None else 1,
        recipient_role=ruling.recipient_role,
        recipient_id=ruling.recipient_id,
        owner=ruling.owner,
        clock=ruling.clock,
        due_at=ruling.due_at,
        target_at=ruling.target_at,
        review_at=review_at,
        review_expired=review_expired,
        acknowledgement=ruling.acknowledgement,
        citations=ruling.citations,
        decided_by=ruling.decided_by,
        basis_tag=ruling.basis_tag,
        met_at=before.met_at if before is not None else None,
    )

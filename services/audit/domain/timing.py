"""How late the notices of one encounter were, from what the trail holds: clocks start at discovery."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contracts.events import (
    DecidedObligation,
    EncounterAmended,
    EncounterReported,
    NoticeAcknowledged,
    NoticeConfirmed,
    NoticeIssued,
    ObligationDecided,
    decode_data,
)
from rulebook.lateness import Lateness, lateness
from services.audit.domain.lineage import Step

_RELEVANT = frozenset(
    kind.TYPE
    for kind in (
        EncounterReported,
        EncounterAmended,
        ObligationDecided,
        NoticeIssued,
        NoticeConfirmed,
        NoticeAcknowledged,
    )
)


@dataclass(frozen=True, slots=True)
class Timing:
    """One duty that a notice fulfils, as decided last. What else is owed is sealed, and not known here."""

    subject_id: str
    obligation: DecidedObligation
    discovered_at: datetime | None
    told_at: datetime | None
    """When the system of its recipient first confirmed a notice."""
    acknowledged_at: datetime | None
    late: Lateness | None


def timings_of(steps: Sequence[Step], now: datetime) -> tuple[Timing, ...]:
    """By subject and duty; the order of the steps does not matter."""
    decided: dict[tuple[str, str], DecidedObligation] = {}
    discovered: dict[str, tuple[int, datetime]] = {}
    withdrawals: set[Any] = set()
    confirmed: list[NoticeConfirmed] = []
    acknowledged: list[NoticeAcknowledged] = []
    for step, data in _read(steps):
        subject = str(step.told.get("subject_id"))
        match data:
            case EncounterReported() | EncounterAmended():
                discovered[subject] = max(
                    discovered.get(subject, (0, data.discovered_at)), (step.index, data.discovered_at)
                )
            case ObligationDecided():
                for one in data.obligations:
                    before = decided.get((subject, one.duty_id))
                    if before is None or before.revision < one.revision:
                        decided[subject, one.duty_id] = one
            case NoticeIssued():
                if data.kind == "withdrawal":
                    withdrawals.add(data.notice_id)
            case NoticeConfirmed():
                confirmed.append(data)
            case NoticeAcknowledged():
                acknowledged.append(data)
    found = []
    for (subject, _), one in sorted(decided.items(), key=lambda item: item[0]):
        told_at = min((c.confirmed_at for c in confirmed if _is_of(c, one, withdrawals)), default=None)
        answers = (a.acknowledged_at for a in acknowledged if _is_of(a, one, withdrawals))
        due = one.outcome == "due"
        found.append(
            Timing(
                subject,
                one,
                discovered[subject][1] if subject in discovered else None,
                told_at,
                min(answers, default=None),
                lateness(one.due_at, one.target_at, told_at, now) if due else None,
            )
        )
    return tuple(found)


def _read(steps: Sequence[Step]) -> Iterator[tuple[Step, Any]]:
    """Types of later versions say nothing about times that this release knows."""
    return (
        (step, decode_data(step.told["type"], step.told["data"])) for step in steps if step.told["type"] in _RELEVANT
    )


def _is_of(told: NoticeConfirmed | NoticeAcknowledged, one: DecidedObligation, withdrawals: set[Any]) -> bool:
    return (
        told.obligation_id == one.obligation_id
        and told.recipient_id == one.recipient_id
        and told.notice_id not in withdrawals
    )

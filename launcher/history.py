"""What the trail says of encounters: decisions, notices, answers and determinations, put together again."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from contracts.events import (
    DecidedObligation,
    DeterminationChanged,
    DeterminationMade,
    EncounterAmended,
    EncounterReported,
    NoticeAcknowledged,
    NoticeConfirmed,
    NoticeCorrected,
    NoticeHeld,
    NoticeIssued,
    ObligationDecided,
    decode_data,
)
from kernel.database import Database

Told = Mapping[str, Any]
"""The event of one trail entry: its envelope and public data."""


@dataclass
class NoticeState:
    """One notice and how far it came. Times are aware."""

    notice_id: str
    duty_id: str
    subject_id: str
    recipient_id: str
    kind: str
    caused_by: str | None
    confirmed_at: datetime | None = None
    acknowledged: str | None = None
    held: str | None = None
    retired: str | None = None
    """How it ceased to stand: superseded_unsent, corrected or withdrawn."""

    @property
    def settled(self) -> bool:
        """Nothing more is to happen to it."""
        return self.retired is not None or (self.confirmed_at is not None and self.acknowledged is not None)


@dataclass
class History:
    """One encounter."""

    encounter_id: str
    subjects: dict[int, str] = field(default_factory=dict)
    """Subject ids by subject number."""
    facts: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    """Each report and amendment event: its subject, and when it was accepted."""
    duties: dict[tuple[str, str], DecidedObligation] = field(default_factory=dict)
    """The last decision on each duty that a notice fulfils, by subject and duty. What else is owed is sealed."""
    decided: dict[str, int] = field(default_factory=dict)
    """How many duties stand decided, by subject."""
    notices: dict[str, NoticeState] = field(default_factory=dict)
    determined: dict[str, list[int]] = field(default_factory=dict)
    """How many programs each determination answered, by subject; only changed answers are told again."""
    causes: dict[str, str | None] = field(default_factory=dict)
    entries: int = 0

    def origin(self, event_id: str | None) -> str | None:
        """The report or amendment at the root of a chain of causes."""
        seen = 0
        while event_id is not None and event_id not in self.facts and seen <= len(self.causes):
            event_id = self.causes.get(event_id)
            seen += 1
        return event_id if event_id in self.facts else None

    def accepted_before(self, notice: NoticeState) -> datetime | None:
        """When the report or amendment that caused the notice was accepted."""
        origin = self.origin(notice.caused_by)
        return self.facts[origin][1] if origin is not None else None

    def notices_of(self, subject_id: str, duty_id: str) -> list[NoticeState]:
        return [one for one in self.notices.values() if (one.subject_id, one.duty_id) == (subject_id, duty_id)]


def open_points(history: History, duty_ids: Sequence[str], amendments: int) -> list[str]:
    """What has yet to happen; empty when everything due is told and answered and no timer runs.

    `amendments` is how many are known to have been accepted, over all subjects.
    """
    points: list[str] = []
    amended = len(history.facts) - len(history.subjects)
    if not history.subjects or amended < amendments:
        points.append("the trail does not hold the report and its amendments yet")
    for number, subject_id in sorted(history.subjects.items()):
        for duty_id in duty_ids:
            points += _open_duty(history, number, subject_id, duty_id)
    for notice in history.notices.values():
        if not notice.settled:
            points.append(f"{notice.kind} to {notice.recipient_id}: {_missing(notice)}")
    points += [
        f"subject {number}: no determination"
        for number, subject_id in sorted(history.subjects.items())
        if subject_id not in history.determined
    ]
    return points


def _open_duty(history: History, number: int, subject_id: str, duty_id: str) -> list[str]:
    decided = history.duties.get((subject_id, duty_id))
    place = f"subject {number}, {duty_id}"
    if decided is None:
        return [f"{place}: not decided"]
    if decided.outcome == "review" and decided.review_at is not None:
        return [f"{place}: the review timer runs"]
    standing = [one for one in history.notices_of(subject_id, duty_id) if one.retired is None]
    if decided.outcome == "due" and not any(
        one.recipient_id == decided.recipient_id and one.kind != "withdrawal" for one in standing
    ):
        return [f"{place}: no notice to {decided.recipient_id}"]
    return []


def _missing(notice: NoticeState) -> str:
    if notice.confirmed_at is None:
        return f"held ({notice.held})" if notice.held else "not confirmed"
    return "not acknowledged"


def histories(events: Iterable[Told]) -> dict[str, History]:
    """By encounter. Entries come in order of arrival; what belongs together is found by ids, not by order."""
    found: dict[str, History] = {}
    later: list[tuple[History, Told, Any]] = []
    for told in events:
        encounter_id = told.get("encounter_id")
        if encounter_id is None or told["type"].startswith("org.firstnotice.record."):
            continue
        history = found.setdefault(encounter_id, History(encounter_id))
        history.entries += 1
        history.causes[told["id"]] = told.get("causation_id")
        data = decode_data(told["type"], told["data"])
        _take(history, told, data)
        later.append((history, told, data))
    for history, told, data in later:
        _answer(history, told, data)
    return found


def _take(history: History, told: Told, data: Any) -> None:
    match data:
        case EncounterReported() | EncounterAmended():
            history.subjects[data.subject_number] = told["subject_id"]
            history.facts[told["id"]] = (told["subject_id"], data.accepted_at)
        case ObligationDecided():
            history.decided[told["subject_id"]] = data.duties
            for one in data.obligations:
                place = (told["subject_id"], one.duty_id)
                before = history.duties.get(place)
                if before is None or before.revision < one.revision:
                    history.duties[place] = one
        case NoticeIssued():
            # The notice's own cause is the decision; without one, the event itself leads to the report.
            history.notices[str(data.notice_id)] = NoticeState(
                str(data.notice_id), data.duty_id, told["subject_id"], data.recipient_id, data.kind, told["id"]
            )
        case _:
            pass


def _answer(history: History, told: Told, data: Any) -> None:
    match data:
        case DeterminationMade() | DeterminationChanged():
            history.determined.setdefault(told["subject_id"], []).append(data.programs)
        case NoticeConfirmed() | NoticeAcknowledged() | NoticeHeld() | NoticeCorrected():
            notice = history.notices.get(str(data.notice_id))
            if notice is None:
                return
            if isinstance(data, NoticeConfirmed):
                notice.confirmed_at = data.confirmed_at
            elif isinstance(data, NoticeAcknowledged):
                notice.acknowledged = data.status
            elif isinstance(data, NoticeHeld):
                notice.held = data.reason
            else:
                notice.retired = data.how
        case _:
            pass


async def read_trail(database: Database, encounter_ids: Sequence[str] | None = None) -> list[Told]:
    """The events of the trail in order of arrival, of some encounters or of all. Raises Unavailable."""
    async with database.transaction() as tx:
        rows = await tx.driver.fetch(
            """
            SELECT content FROM audit.entry
            WHERE $1::uuid[] IS NULL OR encounter_id = ANY($1::uuid[]) ORDER BY index
            """,
            encounter_ids,
        )
    return [orjson.loads(row["content"])["event"] for row in rows]


__all__ = ["History", "NoticeState", "Told", "histories", "open_points", "read_trail"]

"""The verdict of the main job finds what is missing, what is too much, and what was decided otherwise."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest

from contracts.events import (
    DecidedObligation,
    DeterminationMade,
    EncounterReported,
    EventData,
    NoticeAcknowledged,
    NoticeConfirmed,
    NoticeCorrected,
    NoticeIssued,
    ObligationDecided,
    encode_data,
)
from launcher.history import History, histories, open_points
from launcher.ledger import Contents, Received
from launcher.verdict import against_expectations, against_ledgers, tasks_against_expectations

ENCOUNTER, SUBJECT = UUID(int=1), UUID(int=2)
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DUTY = "MO.566_223.DSS"


def notice_id(name: str) -> UUID:
    return uuid5(ENCOUNTER, name)


class Trail:
    """Builds the events of one encounter."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.report = self.add(
            EncounterReported(
                subject_number=1, record_version=1, encounter_at=NOON, discovered_at=NOON, accepted_at=NOON
            )
        )

    def add(self, data: EventData, cause: str | None = None) -> str:
        event = {
            "id": str(uuid4()),
            "type": data.TYPE,
            "encounter_id": str(ENCOUNTER),
            "subject_id": str(SUBJECT),
            "causation_id": cause,
            "data": encode_data(data),
        }
        self.events.append(event)
        return str(event["id"])

    def decide(self, outcome: Any, recipient: str | None = "mo-dss", revision: int = 1, timer: bool = False) -> str:
        return self.add(
            ObligationDecided(
                duties=1,
                obligations=(
                    DecidedObligation(
                        obligation_id=UUID(int=3),
                        duty_id=DUTY,
                        outcome=outcome,
                        revision=revision,
                        recipient_role="social_services",
                        recipient_id=recipient,
                        clock="asap",
                        review_at=NOON + timedelta(hours=1) if timer else None,
                    ),
                ),
            ),
            self.report,
        )

    def issue(self, name: str, cause: str, kind: Any = "notice", recipient: str = "mo-dss") -> None:
        self.add(
            NoticeIssued(
                notice_id=notice_id(name),
                obligation_id=UUID(int=3),
                duty_id=DUTY,
                recipient_id=recipient,
                revision=1,
                kind=kind,
                priority="first_notice",
            ),
            cause,
        )

    def confirm(self, name: str, recipient: str = "mo-dss") -> None:
        at = NOON + timedelta(milliseconds=8)
        common = {"notice_id": notice_id(name), "obligation_id": UUID(int=3), "duty_id": DUTY}
        self.add(NoticeConfirmed(recipient_id=recipient, attempt=1, started_at=at, confirmed_at=at, **common))

    def acknowledge(self, name: str, recipient: str = "mo-dss") -> None:
        common = {"notice_id": notice_id(name), "obligation_id": UUID(int=3), "duty_id": DUTY}
        self.add(NoticeAcknowledged(recipient_id=recipient, status="accepted", acknowledged_at=NOON, **common))

    def determine(self) -> None:
        self.add(DeterminationMade(determination_id=uuid4(), as_of=NOON, programs=56), self.report)

    def history(self) -> History:
        return histories(self.events)[str(ENCOUNTER)]


@pytest.fixture
def told() -> Trail:
    """Everything is as it must be."""
    trail = Trail()
    trail.issue("n1", trail.decide("due"))
    trail.confirm("n1")
    trail.acknowledge("n1")
    trail.determine()
    return trail


def ledger(*names: str, recipient: str = "mo-dss", acknowledged: bool = True) -> dict[str, Contents]:
    ids = [str(notice_id(name)) for name in names]
    contents = Contents({one: Received(one, recipient, "notice", str(ENCOUNTER), "d") for one in ids})
    if acknowledged:
        contents.acknowledged = dict.fromkeys(ids, "accepted")
    return {"dss": contents}


def expected(**duty: Any) -> Mapping[str, Any]:
    return {"subjects": {1: {DUTY: duty}}}


def compared(trail: Trail, ledgers: dict[str, Contents]) -> str:
    return "; ".join(against_ledgers({str(ENCOUNTER): trail.history()}, ledgers))


def test_nothing_is_wrong_when_all_was_told_once_and_answered(told: Trail) -> None:
    history = told.history()
    assert open_points(history, [DUTY], 0) == []
    assert against_expectations("x", history, expected(outcome="due", recipient="mo-dss")) == []
    assert compared(told, ledger("n1")) == ""
    accepted = history.accepted_before(history.notices[str(notice_id("n1"))])
    assert accepted == NOON


@pytest.mark.parametrize(
    ("missing", "point"),
    [
        (NoticeAcknowledged, "not acknowledged"),
        (NoticeConfirmed, "not confirmed"),
        (NoticeIssued, "no notice to mo-dss"),
        (ObligationDecided, "not decided"),
        (DeterminationMade, "no determination"),
        (EncounterReported, "does not hold the report"),
    ],
)
def test_each_missing_step_keeps_an_encounter_open(told: Trail, missing: type[EventData], point: str) -> None:
    told.events = [event for event in told.events if event["type"] != missing.TYPE]
    assert point in "; ".join(open_points(told.history(), [DUTY], 0))


def test_a_running_review_timer_and_a_missing_amendment_keep_it_open(told: Trail) -> None:
    assert open_points(told.history(), [DUTY], 1)
    told.decide("review", revision=2, timer=True)
    assert "timer" in "; ".join(open_points(told.history(), [DUTY], 0))


def test_events_count_in_whatever_order_the_trail_got_them(told: Trail) -> None:
    told.events.reverse()
    assert open_points(told.history(), [DUTY], 0) == []


def test_another_decision_or_recipient_than_expected_is_wrong(told: Trail) -> None:
    history = told.history()
    assert against_expectations("x", history, expected(outcome="not_due"))
    assert against_expectations("x", history, expected(outcome="due", recipient="us-hhs-otip"))
    assert against_expectations("x", history, {"subjects": {2: {}}})


def test_a_withdrawal_is_wrong_unless_it_is_expected(told: Trail) -> None:
    told.issue("n2", told.decide("not_due", None, 2), kind="withdrawal")
    told.add(NoticeCorrected(notice_id=notice_id("n1"), obligation_id=UUID(int=3), how="withdrawn"))
    history = told.history()
    assert against_expectations("x", history, expected(outcome="not_due", withdrawn_from="mo-dss")) == []
    assert against_expectations("x", history, expected(outcome="not_due"))


def test_what_nobody_issued_or_somebody_else_was_to_get_is_found(told: Trail) -> None:
    assert "which nobody issued" in compared(told, ledger("n1", "n9"))
    assert "for mo-dss" in compared(told, ledger("n1", recipient="mo-jo-16"))


def test_a_confirmation_without_a_record_of_it_is_found(told: Trail) -> None:
    assert "has no record of it" in compared(told, {"dss": Contents()})


def test_an_unanswered_notice_and_one_applied_twice_are_found(told: Trail) -> None:
    assert "not acknowledged" in compared(told, ledger("n1", acknowledged=False))
    twice = ledger("n1")
    twice["dss"].applied_twice.append("n1")
    assert "twice" in compared(told, twice)


def test_a_notice_that_counts_as_never_sent_must_not_have_arrived() -> None:
    trail = Trail()
    trail.issue("n1", trail.decide("due"))
    trail.add(NoticeCorrected(notice_id=notice_id("n1"), obligation_id=UUID(int=3), how="superseded_unsent"))
    assert "never sent" in compared(trail, ledger("n1"))


def test_a_task_is_open_until_a_person_did_it_and_that_is_not_wrong() -> None:
    duties = {(1, "MO.210_1500.HOTLINE"): {"state": "open"}, (1, "MO.210_115.ORAL"): {"state": "not_due"}}
    wanted = {"tasks": {1: {"MO.210_1500.HOTLINE": "open", "MO.210_115.ORAL": "not_due"}}}
    assert tasks_against_expectations("x", duties, wanted) == []
    wanted["tasks"][1]["MO.210_115.ORAL"] = "open"
    assert "not_due, expected open" in "; ".join(tasks_against_expectations("x", duties, wanted))
    assert "not decided" in "; ".join(tasks_against_expectations("x", {}, wanted))

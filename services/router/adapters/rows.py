"""From rows of the router's tables to the values that the use cases speak of."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from kernel.sealing import Sealed
from services.router.application.ports import Acknowledged, Round, Snapshot
from services.router.domain.obligations import Obligation, Stage, Standing
from services.router.domain.origin import Origin
from services.router.domain.priorities import PRIORITIES


def grouped(rows: Sequence[Any], name: str) -> dict[UUID, list[Any]]:
    """Rows by one of their columns, in order."""
    found: dict[UUID, list[Any]] = {}
    for row in rows:
        found.setdefault(row[name], []).append(row)
    return found


def snapshot_of(row: Any) -> Snapshot | None:
    """From `subject`; None once the subject was erased."""
    if not row["sealed"]:
        return None
    return Snapshot(
        subject_id=row["subject_id"],
        subject_number=row["subject_number"],
        encounter_id=row["encounter_id"],
        agency=row["agency"],
        jurisdiction=row["jurisdiction"],
        record_version=row["record_version"],
        encounter_at=row["encounter_at"],
        discovered_at=row["discovered_at"],
        key_id=row["key_id"],
        sealed=Sealed.decode(row["sealed"]),
        event_id=row["last_event_id"],
        correlation_id=row["correlation_id"],
        traceparent=row["traceparent"],
    )


def obligation_of(row: Any) -> Obligation:
    """From `obligation`."""
    return Obligation(
        obligation_id=row["obligation_id"],
        encounter_id=row["encounter_id"],
        subject_id=row["subject_id"],
        duty_id=row["duty_id"],
        outcome=row["outcome"],
        revision=row["revision"],
        recipient_role=row["recipient_role"],
        recipient_id=row["recipient_id"],
        owner=row["owner"],
        clock=row["clock"],
        due_at=row["due_at"],
        target_at=row["target_at"],
        review_at=row["review_at"],
        review_expired=row["review_expired"],
        acknowledgement=row["acknowledgement"],
        citations=tuple(row["citations"].split("\n")) if row["citations"] else (),
        decided_by=row["decided_by"],
        basis_tag=row["basis_tag"],
        met_at=row["met_at"],
    )


def round_of(row: Any) -> Round:
    """From `decision`."""
    return Round(
        event_id=row["event_id"],
        sealed=Sealed.decode(row["sealed"]),
        decided_at=row["decided_at"],
        law_version=row["law_version"],
        policy_version=row["policy_version"],
    )


def standing_of(row: Any) -> Standing:
    """From a live `notice` with its `delivery`."""
    stage: Stage = "unsent"
    if row["confirmed_at"] is not None:
        stage = "confirmed"
    elif row["reached"] or row["lease_owner"] is not None:
        # Leased: its bytes may be on their way at this moment.
        stage = "maybe_read"
    return Standing(
        notice_id=row["notice_id"],
        recipient_id=row["recipient_id"],
        kind=row["kind"],
        priority=PRIORITIES[row["priority"]],
        told_tag=row["told_tag"],
        stage=stage,
    )


def origin_of(row: Any) -> Origin:
    """From `notice`."""
    return Origin(
        encounter_id=row["encounter_id"],
        subject_id=row["subject_id"],
        obligation_id=row["obligation_id"],
        duty_id=row["duty_id"],
        jurisdiction=row["jurisdiction"],
        correlation_id=row["correlation_id"],
        agency=row["agency"],
        law_version=row["law_version"],
        policy_version=row["policy_version"],
        traceparent=row["traceparent"],
    )


def acknowledgements_of(rows: Sequence[Any]) -> tuple[Acknowledged, ...]:
    """From `acknowledgement`."""
    return tuple(Acknowledged(status=row["status"], at=row["acknowledged_at"]) for row in rows)

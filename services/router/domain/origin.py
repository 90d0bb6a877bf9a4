"""Where a notice came from and under which law, and how every event about it says so."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from contracts.envelope import Event
from contracts.events import EventData
from kernel.sealing import Sealed


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What the events about one obligation and its notices carry on."""

    encounter_id: UUID
    subject_id: UUID
    obligation_id: UUID
    duty_id: str
    jurisdiction: str
    correlation_id: UUID
    agency: str | None = None
    law_version: str | None = None
    policy_version: str | None = None
    traceparent: str | None = None


def tell(
    origin: Origin, data: EventData, *, id: UUID, source: str, time: datetime, cause: UUID, sealed: Sealed | None = None
) -> Event:
    """An event about the obligation or one of its notices, caused by the event `cause`."""
    return Event(
        id=id,
        time=time,
        source=source,
        data=data,
        key=origin.encounter_id,
        jurisdiction=origin.jurisdiction,
        correlation_id=origin.correlation_id,
        causation_id=cause,
        encounter_id=origin.encounter_id,
        subject_id=origin.subject_id,
        agency=origin.agency,
        law_version=origin.law_version,
        policy_version=origin.policy_version,
        traceparent=origin.traceparent,
        key_id=sealed.key_id if sealed is not None else None,
        commitment=sealed.commitment if sealed is not None else None,
        sealed=sealed.groups if sealed is not None else {},
    )

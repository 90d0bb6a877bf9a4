"""Keeps what became of reports up to date, a batch of events at a time."""

from collections.abc import Collection, Sequence
from typing import Protocol
from uuid import UUID

from contracts.envelope import Event
from kernel.database import Transaction
from services.intake.domain.follow_up import FollowUp, named


class FollowUps(Protocol):
    """Where the records are. Their only writer is the consumer that owns the encounter's partition."""

    async def read(self, tx: Transaction, obligation_ids: Collection[UUID], notice_ids: Collection[UUID]) -> FollowUp:
        """The records that are there already."""

    async def write(self, tx: Transaction, follow_up: FollowUp) -> None:
        """Stores the records as they are now."""


class Following:
    """The use case behind the consumer of notices."""

    def __init__(self, records: FollowUps) -> None:
        self._records = records

    async def follow(self, tx: Transaction, events: Sequence[Event]) -> None:
        """Events of the topic `notices`, in order."""
        records = await self._records.read(tx, *named(events))
        records.follow(events)
        await self._records.write(tx, records)

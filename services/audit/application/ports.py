"""What the audit service needs of its store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from contracts.events import TrailCheckpointed
from kernel.database import Transaction
from services.audit.domain.entry import Entry
from services.audit.domain.lineage import Step


@dataclass(frozen=True, slots=True)
class Gap:
    """Events that a source numbered and the trail does not have."""

    source: str
    shard: int
    missing: tuple[tuple[int, int], ...]
    since: datetime


@dataclass(frozen=True, slots=True)
class SourceState:
    """How much of one source the trail has: `received` events, `missing` ones."""

    source: str
    received: int
    missing: int


@dataclass(frozen=True, slots=True)
class TrailState:
    size: int
    conflicts: int
    sources: tuple[SourceState, ...]


class Trail(Protocol):
    """An append-only sequence of entries, and what is known of the completeness of its sources."""

    async def append(self, tx: Transaction, entries: Sequence[Entry], *, bus: str, appended_at: datetime) -> int:
        """Gives the entries the next places and stores them; returns the new size of the trail."""

    async def digests(self, tx: Transaction, event_ids: Sequence[UUID]) -> dict[UUID, set[bytes]]:
        """What is in the trail under these event ids."""

    async def note_arrivals(
        self, tx: Transaction, arrived: Mapping[tuple[str, int], Sequence[int]], at: datetime
    ) -> None:
        """Keeps the continuity of each (source, shard) up to date, and since when something has been missing."""

    async def gaps(self, tx: Transaction, before: datetime) -> list[Gap]:
        """What has been missing since before this moment."""

    async def next_checkpoint(self, tx: Transaction) -> TrailCheckpointed | None:
        """What has been covered since the last checkpoint, noted as published with this transaction.

        None for no news: checkpoints' own entries are none, else each would cause the next.
        """

    async def history(self, tx: Transaction, encounter_id: UUID) -> list[Step]:
        """Every event of an encounter, in order of arrival; reads of it are not part of its history."""

    async def state(self, tx: Transaction) -> TrailState:
        """Size, conflicts, and how much of each source is there."""

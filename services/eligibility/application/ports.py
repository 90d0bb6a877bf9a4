"""What the use cases keep and find again, and the store that they need for it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from kernel.database import Transaction
from kernel.sealing import Sealed


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one encounter event said of one subject: the groups that we may open, sealed as they came."""

    event_id: UUID
    """Also the context under which they are sealed."""
    subject_id: UUID
    encounter_id: UUID
    encounter_at: datetime
    accepted_at: datetime
    sealed: Sealed


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All programs were evaluated for one subject. `sealed` holds the determination, under `determination_id`."""

    determination_id: UUID
    subject_id: UUID
    facts_id: UUID
    """The encounter event whose facts were evaluated."""
    as_of: datetime
    law_version: str
    law_digest: str
    made_at: datetime
    sealed: Sealed
    published: bool
    replaces: UUID | None
    """The published determination before this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where one subject stands: the latest facts, and what the latest evaluation of them gave."""

    subject_id: UUID
    encounter_id: UUID
    agency: str | None
    jurisdiction: str
    correlation_id: UUID
    traceparent: str | None
    facts: Facts
    latest_id: UUID
    """The latest determination, published or not."""
    answers: bytes
    """The tag of the latest answers: see `domain.determinations.answers_tag`."""
    law_digest: str
    """The release under which the latest evaluation was made."""
    published_id: UUID
    """The latest determination that was published."""
    look_again_on: date | None
    """Local day of the jurisdiction; none when nothing changes by itself."""
    row: Sealed | None = None
    """The facts for re-runs, see `application.rows`: made when new facts are evaluated, and not read with the rest."""


class Store(Protocol):
    """Everything in batches; each call is part of the given transaction."""

    async def known(self, tx: Transaction, event_ids: Collection[UUID]) -> set[UUID]:
        """Encounter events whose facts have been evaluated already."""

    async def standings(
        self, tx: Transaction, subject_ids: Collection[UUID], *, retracted: bool = True
    ) -> dict[UUID, Standing]:
        """The subjects that we know of, by id; their rows are locked until the end of the transaction.

        Those of retracted encounters too, unless `retracted` is false.
        """

    async def facts(self, tx: Transaction, event_ids: Collection[UUID]) -> dict[UUID, Facts]:
        """What these encounter events said, by event; not locked."""

    async def reports(self, tx: Transaction, subject_ids: Collection[UUID]) -> list[Facts]:
        """What all events said of these subjects, oldest first; not locked."""

    async def due(self, tx: Transaction, today: Mapping[str, date], limit: int) -> list[Standing]:
        """Subjects to look at again, by each jurisdiction's own day; locked, and left out when another has locked."""

    async def of_encounter(self, tx: Transaction, encounter_id: UUID) -> list[tuple[Standing, Evaluation]]:
        """The subjects of an encounter with their latest evaluations, in a fixed order; not locked."""

    async def evaluated(self, tx: Transaction, determination_id: UUID) -> tuple[Evaluation, Facts, str] | None:
        """One evaluation, the facts that it was made from, and the jurisdiction; None if it is not there."""

    async def keep(
        self, tx: Transaction, facts: Sequence[Facts], evaluations: Sequence[Evaluation], standings: Sequence[Standing]
    ) -> None:
        """Adds facts and evaluations, and makes these the standings of their subjects."""

    async def look_again(self, tx: Transaction, days: Mapping[UUID, date | None]) -> None:
        """Sets only when the subjects are looked at again."""

    async def retract(self, tx: Transaction, encounter_ids: Collection[UUID]) -> None:
        """The encounters were reported in error: their subjects stand no more; what was determined stays on record."""

    async def forget(self, tx: Transaction, subject_ids: Collection[UUID]) -> None:
        """Drops everything about these subjects."""

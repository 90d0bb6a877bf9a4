"""What the use cases need from outside: stored state, and a courier that may take a notice along at once."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from contracts.events import AcknowledgementStatus, NoticeKind, PriorityClass
from kernel.database import Transaction
from kernel.sealing import Sealed
from services.router.courier.job import Job
from services.router.domain.obligations import Ends, Issue, Obligation, Retired, Standing
from services.router.domain.origin import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The last facts about one subject, sealed as their event carried them."""

    subject_id: UUID
    encounter_id: UUID
    agency: str | None
    jurisdiction: str
    record_version: int
    encounter_at: datetime
    discovered_at: datetime
    key_id: UUID
    sealed: Sealed
    event_id: UUID
    """Context of the seal, and the cause of what is decided on it."""
    correlation_id: UUID
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class State:
    """What is stored about one subject."""

    snapshot: Snapshot | None
    obligations: dict[str, Obligation]
    """By duty."""
    decided_by_event: dict[UUID, UUID]
    """The event that told each obligation's last decision."""
    standing: dict[UUID, tuple[Standing, ...]]
    """By obligation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """An obligation to store, and the event that tells of it."""

    obligation: Obligation
    event_id: UUID
    law_version: str
    policy_version: str
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNotice:
    """A notice to store; `leased` if it is born with its first attempt's intent."""

    issue: Issue
    origin: Origin
    sealed: Sealed
    told_tag: bytes
    due_at: datetime | None
    issued_at: datetime
    leased: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """A stored answer of a recipient."""

    status: AcknowledgementStatus
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeState:
    """What a recipient may see of a notice of its own."""

    notice_id: UUID
    kind: NoticeKind
    revision: int
    state: str
    attempts: int
    issued_at: datetime
    confirmed_at: datetime | None
    replaced_by: UUID | None
    acknowledgements: tuple[Acknowledged, ...]


@dataclass(frozen=True, slots=True)
class Answerable:
    """A notice that its recipient answers, locked with its obligation for the transaction."""

    origin: Origin
    key_id: UUID
    acknowledgement: Ends
    live: bool
    met: bool
    earlier: tuple[AcknowledgementStatus, ...]


class Store(Protocol):
    """The router's tables but the courier's part. All raise Unavailable."""

    async def lock(self, tx: Transaction, subject_ids: Collection[UUID]) -> dict[UUID, State]:
        """The state of those subjects that are known, locked until the transaction ends."""
        ...

    async def subjects_of(self, tx: Transaction, encounter_ids: Collection[UUID]) -> dict[UUID, list[UUID]]:
        """Subjects by encounter."""
        ...

    async def due_reviews(self, tx: Transaction, now: datetime, limit: int) -> list[UUID]:
        """Locks and gives subjects with a review whose time is over; those that another worker holds are left out."""
        ...

    async def next_review_at(self, tx: Transaction) -> datetime | None: ...

    async def save_snapshots(self, tx: Transaction, snapshots: Sequence[Snapshot]) -> None: ...

    async def save_obligations(self, tx: Transaction, decided: Sequence[Decided]) -> None: ...

    async def retire(self, tx: Transaction, retired: Sequence[Retired]) -> None:
        """These notices no longer stand and are not sent again."""
        ...

    async def insert_notices(self, tx: Transaction, notices: Sequence[NewNotice], worker: UUID, lease: float) -> None:
        """Due at once; leased ones with attempt 1 begun by `worker` for `lease` seconds."""
        ...

    async def meet(self, tx: Transaction, obligation_ids: Collection[UUID], at: datetime) -> None: ...

    async def forget(self, tx: Transaction, subject_id: UUID) -> list[tuple[UUID, Origin]]:
        """Drops the snapshot and closes what was not confirmed; gives those notices."""
        ...

    async def answerable(self, tx: Transaction, notice_id: UUID, recipient_id: str) -> Answerable | None: ...

    async def save_acknowledgement(
        self, tx: Transaction, *, event_id: UUID, notice_id: UUID, given: Acknowledged, sealed: Sealed | None
    ) -> None: ...

    async def notice_state(self, tx: Transaction, notice_id: UUID, recipient_id: str) -> NoticeState | None: ...


class Departures(Protocol):
    """A courier that sends new notices at once if it has room; what it does not take, it finds in the database."""

    @property
    def worker(self) -> UUID: ...

    @property
    def lease(self) -> float:
        """Seconds."""
        ...

    def room(self, recipient_id: str, priority: PriorityClass) -> int: ...

    def lease_ends(self) -> float: ...

    def accept(self, jobs: Iterable[Job]) -> None: ...

    def wake(self) -> None: ...

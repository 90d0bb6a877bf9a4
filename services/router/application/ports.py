"""What the use cases need from outside: stored state, and a courier that may take a notice along at once."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
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
    subject_number: int
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What was decided about one subject at one time: the sealed records of every decision that was new or changed."""

    event_id: UUID
    """The event that told it: context of the seal, and cause of the notices that followed."""
    sealed: Sealed
    decided_at: datetime
    law_version: str | None
    policy_version: str | None


@dataclass(frozen=True, slots=True)
class State:
    """What is stored about one subject."""

    snapshot: Snapshot | None
    """None once the subject was erased."""
    rounds: tuple[Round, ...]
    """In order."""
    obligations: dict[str, Obligation]
    """By duty: those that a notice fulfils."""
    standing: dict[UUID, tuple[Standing, ...]]
    """By obligation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRound:
    """A round to store, the `number`-th of its subject."""

    subject_id: UUID
    number: int
    round: Round


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A person did what a duty asks. Sealed, for the event: the duty, and the reference that proves it."""

    event_id: UUID
    subject_id: UUID
    completed_at: datetime
    sealed: Sealed


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


@dataclass
class Changes:
    """What one round of decisions changes in the tables; no subject is in it twice."""

    snapshots: list[Snapshot] = field(default_factory=list)
    rounds: list[NewRound] = field(default_factory=list)
    obligations: list[Obligation] = field(default_factory=list)
    timers: dict[UUID, datetime | None] = field(default_factory=dict)
    """By subject, when its next review runs out; for those where that may have changed."""
    completions: list[Completion] = field(default_factory=list)
    met: list[tuple[UUID, datetime]] = field(default_factory=list)
    """Obligations that a notice fulfils and that a person fulfilled."""
    retired: list[Retired] = field(default_factory=list)
    notices: list[NewNotice] = field(default_factory=list)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How far the notices of one obligation are."""

    first_confirmed_at: datetime | None
    met_at: datetime | None
    """When the recipient acknowledged as the duty demands, or a person did it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Everything on record about the duties for one subject."""

    subject_id: UUID
    subject_number: int
    encounter_id: UUID
    agency: str | None
    jurisdiction: str
    discovered_at: datetime
    snapshot: Snapshot | None
    """The facts that the last round stands on; None once the subject was erased."""
    rounds: tuple[Round, ...]
    completions: tuple[Completion, ...]
    told: dict[str, Told]
    """By duty: those that a notice fulfils."""


class Store(Protocol):
    """The router's tables as deciding needs them. All raise Unavailable."""

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

    async def save(self, tx: Transaction, changes: Changes, worker: UUID, lease: float) -> None:
        """New notices are due at once, leased ones with attempt 1 begun by `worker` for `lease` seconds; retired ones
        no longer stand and are not sent again."""
        ...

    async def forget(self, tx: Transaction, subject_id: UUID) -> list[tuple[UUID, Origin]]:
        """Drops the snapshot and closes what was not confirmed; gives those notices."""
        ...


class Answers(Protocol):
    """The router's tables as recipients' answers need them. All raise Unavailable."""

    async def answerable(self, tx: Transaction, notice_id: UUID, recipient_id: str) -> Answerable | None: ...

    async def save_acknowledgement(
        self, tx: Transaction, *, event_id: UUID, notice_id: UUID, given: Acknowledged, sealed: Sealed | None
    ) -> None: ...

    async def meet(self, tx: Transaction, obligation_ids: Collection[UUID], at: datetime) -> None: ...

    async def notice_state(self, tx: Transaction, notice_id: UUID, recipient_id: str) -> NoticeState | None: ...


class Records(Protocol):
    """What is on record, for reading. Raises Unavailable."""

    async def of_encounter(self, tx: Transaction, encounter_id: UUID) -> list[Stored]:
        """By subject number."""
        ...


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

"""All that one batch of decisions changes, gathered while it is decided and written in one statement per table."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contracts.envelope import Event
from kernel.database import Transaction
from kernel.outbox import Outbox
from services.router.application.ports import Completion, Departures, NewNotice, NewRound, Snapshot, Store
from services.router.courier.job import Job
from services.router.domain.obligations import Obligation, Retired


@dataclass
class Outcome:
    """One batch; no subject is in it twice."""

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
    events: list[Event] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    berths: dict[tuple[str, str], int] = field(default_factory=dict)
    """Room that is left with the courier, by recipient and class."""

    async def write(self, tx: Transaction, store: Store, outbox: Outbox, departures: Departures) -> None:
        """Raises Unavailable."""
        await store.save_snapshots(tx, [(one, self.timers.pop(one.subject_id, None)) for one in self.snapshots])
        await store.save_timers(tx, self.timers)
        await store.save_rounds(tx, self.rounds)
        await store.save_obligations(tx, self.obligations)
        await store.save_completions(tx, self.completions)
        for obligation_id, at in self.met:
            await store.meet(tx, [obligation_id], at)
        await store.retire(tx, self.retired)
        await store.insert_notices(tx, self.notices, departures.worker, departures.lease)
        await outbox.append(tx, self.events)
        if self.jobs:
            tx.after_commit.append(lambda: departures.accept(self.jobs))
        if len(self.jobs) < len(self.notices):
            tx.after_commit.append(departures.wake)

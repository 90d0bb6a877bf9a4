"""All that one round of decisions brings about, gathered while it is decided."""

from dataclasses import dataclass, field

from contracts.envelope import Event
from kernel.database import Transaction
from kernel.events.outbox import Outbox
from services.router.application.ports import Changes, Departures, Store
from services.router.courier.job import Job


@dataclass
class Outcome(Changes):
    """What is written, what is told of it, and what the courier takes along."""

    events: list[Event] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    berths: dict[tuple[str, str], int] = field(default_factory=dict)
    """Room that is left with the courier, by recipient and class."""

    async def write(self, tx: Transaction, store: Store, outbox: Outbox, departures: Departures) -> None:
        """Raises Unavailable."""
        await store.save(tx, self, departures.worker, departures.lease)
        await outbox.append(tx, self.events)
        if self.jobs:
            tx.after_commit.append(lambda: departures.accept(self.jobs))
        if len(self.jobs) < len(self.notices):
            tx.after_commit.append(departures.wake)

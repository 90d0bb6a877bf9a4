"""Appends every event to the trail, exactly once, in the transaction that advances the offsets."""

from collections.abc import Sequence

from kernel.bus import Bus
from kernel.clock import Clock
from kernel.database import Transaction
from kernel.events.inbox import Received
from kernel.telemetry import counter, logger
from services.audit.application.ports import Trail
from services.audit.domain.entry import Entry, EntryKind, entry_of

CONFLICTS = counter("trail_conflicts", "Event ids that came again with other content")
APPENDED = counter("trail_entries", "Entries appended to the trail", ["topic"])

log = logger(__name__)


class AppendToTrail:
    """Handler of all topics; `repeated` takes deliveries of events that are in the trail already."""

    def __init__(self, trail: Trail, bus: Bus, clock: Clock) -> None:
        self._trail = trail
        self._bus = bus
        self._clock = clock

    async def __call__(self, tx: Transaction, received: Sequence[Received]) -> None:
        now = self._clock()
        entries = [self._entry(one) for one in received]
        await self._trail.append(tx, entries, bus=self._bus.name, appended_at=now)
        arrived: dict[tuple[str, int], list[int]] = {}
        for entry in entries:
            arrived.setdefault((entry.event.source, entry.event.shard), []).append(entry.event.sequence)
            APPENDED.labels(entry.delivery.position.topic).inc()
        await self._trail.note_arrivals(tx, arrived, now)

    async def repeated(self, tx: Transaction, received: Sequence[Received]) -> None:
        """The same event again is no news; the same id with other content is an alarm and an entry of its own."""
        stored = await self._trail.digests(tx, [one.event.id for one in received])
        conflicts = []
        for one in received:
            entry = self._entry(one, "conflict")
            if entry.digest not in stored.setdefault(one.event.id, set()):
                stored[one.event.id].add(entry.digest)
                conflicts.append(entry)
                CONFLICTS.inc()
                log.error("an event id came again with other content", event_id=one.event.id)
        if conflicts:
            await self._trail.append(tx, conflicts, bus=self._bus.name, appended_at=self._clock())

    def _entry(self, one: Received, kind: EntryKind = "event") -> Entry:
        return entry_of(one.event, one.delivery, bus=self._bus.name, generation=one.generation, kind=kind)

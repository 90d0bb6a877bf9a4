"""Publishes how much of each source the trail holds, and raises the alarm for what does not come."""

import asyncio
from datetime import timedelta
from uuid import UUID

from contracts.envelope import Event
from kernel.clock import Clock, Ids
from kernel.database import Database
from kernel.doorbell import wait_for
from kernel.events.outbox import Outbox
from kernel.telemetry import gauge, logger
from services.audit.application.ports import Gap, Trail

TRAIL_KEY = UUID("66697273-746e-5f6f-8469-63652d747261")
"""Key of all checkpoints: they are about the trail, so they keep one order."""

MISSING = gauge("trail_missing_events", "Numbered events that the trail has waited for too long", ["source"])

log = logger(__name__)


class Watch:
    """One loop: a checkpoint when there is news, and a look for gaps."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        trail: Trail,
        *,
        clock: Clock,
        ids: Ids,
        jurisdiction: str,
        every_seconds: float,
        gap_seconds: float,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._trail = trail
        self._clock = clock
        self._ids = ids
        self._jurisdiction = jurisdiction
        self._every = every_seconds
        self._patience = timedelta(seconds=gap_seconds)
        self._alarmed: set[Gap] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises Unavailable."""
        while not stop.is_set():
            await self.checkpoint()
            await self.look_for_gaps()
            await wait_for(stop, self._every)

    async def checkpoint(self) -> bool:
        """Publishes a checkpoint if anything was added since the last one; says whether it did."""
        async with self._database.transaction() as tx:
            news = await self._trail.next_checkpoint(tx)
            if news is None:
                return False
            event_id = self._ids()
            await self._outbox.append(
                tx,
                [
                    Event(
                        id=event_id,
                        time=self._clock(),
                        source=self._outbox.source,
                        data=news,
                        key=TRAIL_KEY,
                        jurisdiction=self._jurisdiction,
                        correlation_id=event_id,
                    )
                ],
            )
            return True

    async def look_for_gaps(self) -> list[Gap]:
        """Gaps older than our patience; shards of a source arrive on several partitions, so young ones are normal."""
        async with self._database.transaction() as tx:
            found = await self._trail.gaps(tx, self._clock() - self._patience)
        MISSING.clear()
        for gap in found:
            count = sum(last - first + 1 for first, last in gap.missing)
            MISSING.labels(gap.source).inc(count)
            if gap not in self._alarmed:
                log.error("numbered events do not arrive in the trail", name=gap.source, shard=gap.shard, count=count)
        self._alarmed = set(found)
        return found

"""What moves and what does not, measured in a loop of its own: whoever is stuck cannot tell that he is.

Every figure comes from the database or from the log itself, not from the loops that it is about.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from kernel.bus import Bus, Position
from kernel.database import Database
from kernel.doorbell import wait_for
from kernel.errors import Unavailable
from kernel.telemetry import describe, gauge, logger

LOOK_SECONDS = 2.0
STUCK_SECONDS = 30.0
"""From then on what waits is said to stand still: in the log, in the metrics and by /readyz."""
REMIND_SECONDS = 60.0

OLDEST = gauge("outbox_oldest_seconds", "Age of the oldest unpublished event", ["service"])
PENDING = gauge("outbox_pending", "Unpublished events", ["service"])
SET_ASIDE = gauge("outbox_set_aside", "Events that the broker will never take as they are", ["service"])
PARKED = gauge("events_parked", "Events that wait because they, or one before them, could not be handled", ["service"])
PARKED_OLDEST = gauge("events_parked_oldest_seconds", "Age of the oldest parked event", ["service"])
LAG = gauge("consumer_lag", "Published records that were not handled yet", ["service", "topic", "partition"])
LAG_SECONDS = gauge(
    "consumer_lag_seconds", "How long a partition with such records has not moved", ["service", "topic"]
)
LOG_AWAY = gauge("log_away_seconds", "How long the event log has not answered", ["service"])
STANDS_STILL = gauge("stands_still", "Whether something does not move: what /readyz tells", ["service"])

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class _Moved:
    next: int
    at: float


class Movement:
    """The gauges of one service's messaging. `topics` are those it reads."""

    def __init__(self, database: Database, bus: Bus, topics: Collection[str]) -> None:
        self._database = database
        self._bus = bus
        self._topics = tuple(topics)
        self._moved: dict[Position, _Moved] = {}
        self._answered_at = time.monotonic()
        self._reminded_at = -REMIND_SECONDS
        self.still: tuple[str, ...] = ()
        """What does not move now, in words for an operator."""

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises Unavailable: run it again."""
        while not stop.is_set():
            await self.look()
            await wait_for(stop, LOOK_SECONDS)

    async def look(self) -> None:
        """Measures once. Raises Unavailable when the database does not answer."""
        still = [*await self._outbox(), *await self._parked(), *await self._lag()]
        self.still = tuple(still)
        STANDS_STILL.labels(self._database.schema).set(bool(still))
        now = time.monotonic()
        if still and now - self._reminded_at >= REMIND_SECONDS:
            self._reminded_at = now
            for reason in still:
                log.error("events do not move", service=self._database.schema, reason=reason)

    async def _outbox(self) -> list[str]:
        async with self._database.transaction() as tx:
            row = await tx.driver.fetchrow(
                """
                SELECT count(*) FILTER (WHERE refused IS NULL) AS pending, count(refused) AS aside,
                    coalesce(extract(epoch FROM clock_timestamp() - min(created_at))::float8, 0) AS oldest
                FROM (
                    SELECT created_at, refused FROM outbox WHERE published_at IS NULL ORDER BY id LIMIT 100000
                ) AS head
                """
            )
        service = self._database.schema
        PENDING.labels(service).set(row["pending"])
        OLDEST.labels(service).set(row["oldest"])
        SET_ASIDE.labels(service).set(row["aside"])
        still = []
        if row["aside"]:
            still.append(f"{row['aside']} events are set aside that the log will never take (firstnotice parked list)")
        if row["pending"] and row["oldest"] > STUCK_SECONDS:
            still.append(f"{row['pending']} events wait for the log, the oldest for {row['oldest']:.0f} s")
        return still

    async def _parked(self) -> list[str]:
        async with self._database.transaction() as tx:
            row = await tx.driver.fetchrow(
                """
                SELECT count(*) AS parked,
                    coalesce(extract(epoch FROM clock_timestamp() - min(parked_at))::float8, 0) AS oldest FROM parked
                """
            )
        PARKED.labels(self._database.schema).set(row["parked"])
        PARKED_OLDEST.labels(self._database.schema).set(row["oldest"])
        if not row["parked"]:
            return []
        return [f"{row['parked']} events are parked, the oldest for {row['oldest']:.0f} s (firstnotice parked list)"]

    async def _lag(self) -> list[str]:
        service, now = self._database.schema, time.monotonic()
        try:
            generations = await self._bus.generations(self._topics)
            extents = await self._bus.extents(list(generations))
        except Unavailable as error:
            away = now - self._answered_at
            LOG_AWAY.labels(service).set(away)
            return (
                [f"the event log has not answered for {away:.0f} s ({describe(error)})"] if away > LOOK_SECONDS else []
            )
        self._answered_at = now
        LOG_AWAY.labels(service).set(0)
        still = [f"the log has no topic {topic}" for topic in self._topics if topic not in generations]
        nexts = await self._nexts(generations)
        longest = dict.fromkeys(self._topics, 0.0)
        for position, extent in extents.items():
            next = nexts.get(position, extent.first)
            lag = max(0, extent.end - next)
            LAG.labels(service, position.topic, str(position.partition)).set(lag)
            moved = self._moved.get(position)
            if moved is None or moved.next != next or not lag:
                self._moved[position] = moved = _Moved(next, now)
            longest[position.topic] = max(longest[position.topic], now - moved.at)
            if now - moved.at > STUCK_SECONDS:
                still.append(f"{lag} records of {position.topic}/{position.partition} wait for {now - moved.at:.0f} s")
        for topic, seconds in longest.items():
            LAG_SECONDS.labels(service, topic).set(seconds)
        return still

    async def _nexts(self, generations: Mapping[str, str]) -> dict[Position, int]:
        async with self._database.transaction() as tx:
            rows = await tx.driver.fetch(
                "SELECT generation, topic, partition, next FROM bus_offset WHERE bus = $1", self._bus.name
            )
        return {
            Position(row["topic"], row["partition"]): row["next"]
            for row in rows
            if generations.get(row["topic"]) == row["generation"]
        }

"""The keeper: what was published stays with its producer until every group that must handle it has.

Each group shows the broker how far it is, without a hole and of which log (topic id). From that, and from what the log
still holds, follows what becomes of each published row: handled by all, it goes; lost by the log (the topic was made
anew, records expired before they were read, or its end went back), it is sent again with the same bytes, in order, and
consumers recognise by its id what they have seen. Nothing else is remembered, so nothing else can be wrong.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.events import READERS
from kernel.bus import Broker, Bus, Extent, Handled, Position
from kernel.database import Database, Transaction
from kernel.doorbell import wait_for
from kernel.events.outbox import Outbox
from kernel.telemetry import counter, gauge, logger

LOOK_SECONDS = 5.0
AT_ONCE = 5000

KEPT = gauge("outbox_kept", "Published events that some reader has not handled yet", ["service"])
SENT_AGAIN = counter("outbox_sent_again", "Published events that the log lost and that are sent again", ["service"])

log = logger(__name__)

Range = tuple[int, int]
"""From the first offset to before the second."""
_EVER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of the rows of one partition, by their offsets."""

    gone: Range
    lost: tuple[Range, ...]


def fate(generation: str, now: str | None, extent: Extent | None, groups: Sequence[Handled | None]) -> Fate:
    """Of rows that were published to the log `generation` of a partition, which is the log `now`.

    `groups` are all that must handle them, None for one that has shown nothing. An unknown log (None) says nothing.
    """
    if now is None or extent is None:
        return Fate((0, 0), ())
    if generation != now:
        return Fate((0, 0), ((0, _EVER),))
    shown = [group for group in groups if group is not None and group.generation == now]
    since = max((group.since for group in shown), default=0)
    through = min((group.next for group in shown), default=0) if len(shown) == len(groups) else 0
    gone = (since, max(since, through))
    lost = [(0, extent.first), (extent.end, _EVER)]
    return Fate(gone, tuple(part for one in lost for part in _without(one, gone)))


def _without(one: Range, other: Range) -> list[Range]:
    parts = [(one[0], min(one[1], other[0])), (max(one[0], other[1]), one[1])]
    return [part for part in parts if part[0] < part[1]] if other[0] < other[1] else [one] * (one[0] < one[1])


class Keeper:
    """One loop of a service whose log is a broker."""

    def __init__(
        self, database: Database, outbox: Outbox, bus: Bus, readers: Mapping[str, Sequence[str]] = READERS
    ) -> None:
        assert isinstance(bus, Broker)
        self._database = database
        self._outbox = outbox
        self._bus = bus
        self._broker: Broker = bus
        self._readers = readers

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises Unavailable: run it again."""
        while not stop.is_set():
            await self.look()
            await wait_for(stop, LOOK_SECONDS)

    async def look(self) -> None:
        """Once. Raises Unavailable."""
        async with self._database.transaction() as tx:
            kept = await tx.driver.fetch(
                """
                SELECT topic, generation, partition, count(*) AS count, max("offset") AS last FROM outbox
                WHERE published_at IS NOT NULL GROUP BY topic, generation, partition
                """
            )
        KEPT.labels(self._database.schema).set(sum(row["count"] for row in kept))
        topics = sorted({row["topic"] for row in kept if row["topic"] in self._readers})
        if not topics:
            return
        # In this order, and of rows up to `last` alone: all of them were in the log before it was asked what it holds.
        groups = {group for topic in topics for group in self._readers[topic]}
        shown = await self._broker.handled(sorted(groups), topics)
        generations = await self._bus.generations(topics)
        extents = await self._bus.extents(list(generations))
        for row in kept:
            position = Position(row["topic"], row["partition"])
            its_groups = [shown[group].get(position) for group in self._readers.get(row["topic"], ())]
            its_fate = fate(row["generation"], generations.get(row["topic"]), extents.get(position), its_groups)
            await self._apply(row, its_fate)

    async def _apply(self, row: Any, its_fate: Fate) -> None:
        place = (row["topic"], row["generation"], row["partition"])
        first, end = its_fate.gone
        while first < end:
            async with self._database.transaction() as tx:
                status = await tx.driver.execute(
                    """
                    DELETE FROM outbox WHERE id IN (
                        SELECT id FROM outbox WHERE published_at IS NOT NULL AND topic = $1 AND generation = $2
                            AND partition = $3 AND "offset" >= $4 AND "offset" < $5 LIMIT $6
                    )
                    """,
                    *place,
                    first,
                    end,
                    AT_ONCE,
                )
            if int(status.split()[-1]) < AT_ONCE:
                break
        again = 0
        for lost in its_fate.lost:
            async with self._database.transaction() as tx:
                again += await _send_again(
                    tx,
                    'topic = $1 AND generation = $2 AND partition = $3 AND "offset" >= $4 AND "offset" < $5',
                    *place,
                    lost[0],
                    min(lost[1], row["last"] + 1),
                )
        if again:
            SENT_AGAIN.labels(self._database.schema).inc(again)
            self._outbox.doorbell.ring()
            log.error(
                "the log lost events that were not handled yet: they are sent again",
                topic=row["topic"],
                partition=row["partition"],
                count=again,
            )


async def redrive(tx: Transaction) -> int:
    """Puts every published event that is still kept back in line, with the same bytes and numbers; returns how many.

    For a log that is known to have lost what it confirmed. Consumers recognise by event id what they have seen.
    """
    return await _send_again(tx, "true")


async def _send_again(tx: Transaction, which: str, *arguments: object) -> int:
    status: str = await tx.driver.execute(
        f"""
        UPDATE outbox SET published_at = NULL, generation = NULL, partition = NULL, "offset" = NULL
        WHERE published_at IS NOT NULL AND {which}
        """,
        *arguments,
    )
    return int(status.split()[-1])

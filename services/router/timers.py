"""The review timer: what nobody settled in time is decided again, once, whichever replica gets there first."""

import asyncio

from kernel.clock import Clock
from kernel.database import Database
from kernel.doorbell import wait_for
from kernel.telemetry import counter
from services.router.application.deciding import Deciding
from services.router.application.ports import Store

BATCH = 200
POLL_SECONDS = 1.0

EXPIRED = counter("reviews_expired", "Subjects decided again because a review ran out of time")


class ReviewTimer:
    """One replica's loop; a review that comes up sooner than the poll is waited for to the moment."""

    def __init__(self, database: Database, deciding: Deciding, store: Store, clock: Clock) -> None:
        self._database = database
        self._deciding = deciding
        self._store = store
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises Unavailable: run it again."""
        while not stop.is_set():
            async with self._database.transaction() as tx:
                expired = await self._deciding.expire_reviews(tx, BATCH)
                next_at = await self._store.next_review_at(tx)
            if expired:
                EXPIRED.inc(expired)
                continue
            seconds = POLL_SECONDS
            if next_at is not None:
                # Overdue and not ours: another replica holds it, or it cannot be decided now. Look again later.
                ahead = (next_at - self._clock()).total_seconds()
                seconds = min(POLL_SECONDS, ahead) if ahead > 0 else POLL_SECONDS
            await wait_for(stop, max(seconds, 0.001))

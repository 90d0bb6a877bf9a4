"""Looks at persons again on the day on which an answer may change by itself: a birthday, a time limit, a new rule."""

import asyncio

from kernel.database import Database
from kernel.doorbell import wait_for
from services.eligibility.application.matching import Matching

BATCH = 50
"""Persons per transaction: short, so that an amendment does not wait long for a row."""


class DueDates:
    """The loop. Any number of replicas may run it: each takes persons that no other has."""

    def __init__(self, database: Database, matching: Matching, *, poll_seconds: float) -> None:
        self._database = database
        self._matching = matching
        self._poll_seconds = poll_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises Unavailable: run it again, it resumes by itself."""
        while not stop.is_set():
            async with self._database.transaction() as tx:
                found = await self._matching.due(tx, BATCH)
            if found < BATCH:
                await wait_for(stop, self._poll_seconds)

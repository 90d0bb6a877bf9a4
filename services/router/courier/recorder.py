"""Collects results and writes them in batches: one commit for many attempts, none of them late."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from kernel.doorbell import wait_for
from kernel.errors import Unavailable
from kernel.telemetry import logger
from services.router.courier.job import Result

FULL = 200
MOST = 400
LINGER_SECONDS = 0.05
"""Until the batch is written; the answers to one encounter's notices come within it."""
RETRY_SECONDS = 0.5

log = logger(__name__)


class Recorder:
    """`write` records a batch in one transaction."""

    def __init__(self, write: Callable[[Sequence[Result]], Awaitable[None]]) -> None:
        self._write = write
        self._results: list[Result] = []
        self._some = asyncio.Event()
        self._full = asyncio.Event()

    def __len__(self) -> int:
        return len(self._results)

    def add(self, result: Result) -> None:
        self._results.append(result)
        self._some.set()
        if len(self._results) >= FULL:
            self._full.set()

    async def run(self, finished: asyncio.Event) -> None:
        """Until `finished` is set and everything is written. A database that is away is waited for: results stay."""
        while not (finished.is_set() and not self._results):
            await wait_for(self._some, 0.1)
            if not self._results:
                continue
            if not finished.is_set():
                await wait_for(self._full, LINGER_SECONDS)
            batch = self._results[:MOST]
            try:
                await self._write(batch)
            except Unavailable as error:
                log.warning("results wait for the database", error=error, count=len(self._results))
                await asyncio.sleep(RETRY_SECONDS * random.uniform(0.5, 1.5))
                continue
            del self._results[: len(batch)]
            if not self._results:
                self._some.clear()
            if len(self._results) < FULL:
                self._full.clear()

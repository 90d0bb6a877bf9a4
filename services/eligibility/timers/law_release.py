"""A release of the law applies from the moment the service starts with it: everybody is evaluated again by itself."""

import asyncio
from collections.abc import Callable

from kernel.database import Database
from kernel.errors import Unavailable
from kernel.telemetry import gauge, logger
from services.eligibility.application.rerunning import Progress, Rerunning, Worker

RERUN_PERSONS = gauge("rerun_persons", "Persons done in the evaluation of everybody under the law in force")
RERUN_CHANGED = gauge("rerun_changed", "Of those, persons whose answers changed")

log = logger(__name__)


class LawRelease:
    """The loop. Any number of replicas may run it: their children share the persons."""

    def __init__(self, database: Database, rerunning: Rerunning, worker: Callable[[], Worker]) -> None:
        self._database = database
        self._rerunning = rerunning
        self._worker = worker

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises Unavailable when the child failed: run it again, it goes on where it was."""
        async with self._database.transaction() as tx:
            found = await self._rerunning.begin(tx)
        if not found.finished:
            log.info("everybody is evaluated again", law_version=found.law_version, total=found.total)
            await self._child(stop)
        await stop.wait()

    async def _child(self, stop: asyncio.Event) -> None:
        child = self._worker()
        await child.start()
        stopping = asyncio.create_task(stop.wait())
        working = asyncio.create_task(self._follow(child))
        try:
            await asyncio.wait({stopping, working}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            await asyncio.shield(child.stop())
            status = await working
        if status != 0 and not stop.is_set():
            raise Unavailable(f"the evaluation of everybody ended with status {status}")

    async def _follow(self, child: Worker) -> int:
        last: Progress | None = None
        async for last in child.progress():
            RERUN_PERSONS.set(last.persons)
            RERUN_CHANGED.set(last.changed)
        if last is not None and last.finished:
            log.info("everybody was evaluated again", persons=last.persons, changed=last.changed, failed=last.failed)
        return await child.ended()

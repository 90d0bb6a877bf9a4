"""Tells the living workers from the dead: what a killed one had claimed is due again at once, not when its lease ends.

A worker holds a session advisory lock as long as it lives; the server frees it the moment the process is gone. The
lease stays the truth: who is wrongly taken for dead (its connection broke) loses no more than by a lease that ended.
"""

import asyncio
from collections.abc import Callable
from uuid import UUID

from kernel.database import Database
from kernel.doorbell import wait_for
from kernel.telemetry import counter, logger

LOOK_SECONDS = 1.0

LOST = counter("courier_workers_lost", "Workers that vanished and whose notices are due again")

log = logger(__name__)

_KEY = "hashtext(current_schema() || '.courier'), hashtext({worker}::uuid::text)"

_TAKE_OVER = f"""
    WITH lost AS MATERIALIZED (
        SELECT worker FROM courier_worker
        WHERE worker <> $1 AND pg_try_advisory_xact_lock({_KEY.format(worker="worker")})
    ), gone AS (
        DELETE FROM courier_worker USING lost WHERE courier_worker.worker = lost.worker RETURNING lost.worker
    ), due AS (
        UPDATE delivery SET next_attempt_at = now() FROM gone
        WHERE state IN ('pending', 'held') AND lease_owner = gone.worker
    )
    SELECT count(*) FROM gone
"""


class Presence:
    """One worker's sign of life, and its eye on the others. `wake` is called when there is something to take over."""

    def __init__(self, database: Database, *, worker: UUID, wake: Callable[[], None]) -> None:
        self._database = database
        self._worker = worker
        self._wake = wake

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises the driver's errors when the connection breaks: run it again."""
        connection = await self._database.session()
        try:
            # Locked before it can be seen: nobody finds us without our lock.
            await connection.execute(f"SELECT pg_advisory_lock({_KEY.format(worker='$1')})", self._worker)
            await connection.execute(
                "INSERT INTO courier_worker (worker) VALUES ($1) ON CONFLICT DO NOTHING", self._worker
            )
            while not stop.is_set():
                # First a pause: after the database was away, the others need a moment to come back as well.
                await wait_for(stop, LOOK_SECONDS)
                if lost := await connection.fetchval(_TAKE_OVER, self._worker):
                    LOST.inc(lost)
                    log.warning("couriers vanished; what they had claimed is due again", count=lost)
                    self._wake()
            await connection.execute("DELETE FROM courier_worker WHERE worker = $1", self._worker)
        finally:
            connection.terminate()

"""Tries parked events again, each key in its own time and order, for ever (`kernel.events.parking`)."""

import asyncio
from collections.abc import Mapping

from kernel.database import UNAVAILABLE, Database
from kernel.doorbell import wait_for
from kernel.errors import PoisonEvent, Unavailable
from kernel.events.inbox import Handler, Received, handle
from kernel.events.parking import Parked, admit, due_keys, keep_parked, read, release, take_parked
from kernel.telemetry import describe, logger

LOOK_SECONDS = 0.5
KEYS_AT_ONCE = 100

log = logger(__name__)


class Retrying:
    """One service's loop. `handlers` are those of its consumer."""

    def __init__(self, database: Database, handlers: Mapping[str, Handler]) -> None:
        self._database = database
        self._handlers = handlers

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Raises Unavailable: run it again."""
        while not stop.is_set():
            await self.retry_due()
            await wait_for(stop, LOOK_SECONDS)

    async def retry_due(self) -> int:
        """Tries what is due; returns how many events took effect. Raises Unavailable."""
        async with self._database.transaction() as tx:
            keys = await due_keys(tx, KEYS_AT_ONCE)
        done = 0
        for key, blocks in keys:
            async with self._database.transaction() as tx:
                for waiting in await take_parked(tx, key, blocks):
                    event = read(waiting.delivery)
                    try:
                        if isinstance(event, Parked):
                            raise PoisonEvent(event.reason)
                        async with tx.savepoint():
                            if waiting.noted or await admit(tx, event.id):
                                received = Received(event, waiting.delivery, waiting.generation)
                                await handle(tx, self._database.schema, self._handlers, [received])
                    except (Unavailable, *UNAVAILABLE) as error:
                        if tx.driver.is_closed():
                            raise
                        await keep_parked(tx, waiting, describe(error))
                        break
                    except Exception as error:  # noqa: BLE001 - it stays parked, and so do those behind it
                        await keep_parked(tx, waiting, event.reason if isinstance(event, Parked) else describe(error))
                        if blocks:
                            break
                    else:
                        await release(tx, waiting)
                        done += 1
        if done:
            log.info("parked events took effect", service=self._database.schema, count=done)
        return done

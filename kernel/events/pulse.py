"""Whether the database still answers somebody who holds what others could take over.

A reader whose way to the database is dead, but not its way to the broker, would keep its partitions for ever: its
heartbeats arrive. So work that holds something ends when the database has been silent for long. A moment's outage, or a
long transaction, ends nothing.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from kernel.database import NOT_CONNECTED, Database
from kernel.errors import Unavailable

SILENT_SECONDS = 8.0
PULSE_SECONDS = 2.0
_ANSWER_SECONDS = 3.0


async def while_it_answers(database: Database, work: Coroutine[Any, Any, None]) -> None:
    """Does the work. Raises what it raises, or Unavailable when the database is silent meanwhile, which ends it."""
    working = asyncio.ensure_future(work)
    feeling = asyncio.ensure_future(_until_silent(database))
    try:
        await asyncio.wait({working, feeling}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Unavailable(f"the database has not answered for {SILENT_SECONDS:.0f} s")
        await working
    finally:
        while not (working.done() and feeling.done()):
            # Once may not be enough: what waits for a dead network may take a cancellation for its own time-out.
            working.cancel()
            feeling.cancel()
            await asyncio.wait({working, feeling}, timeout=1.0)
        await asyncio.gather(working, feeling, return_exceptions=True)


async def _until_silent(database: Database) -> None:
    """Returns when there was no answer for long."""
    clock = asyncio.get_running_loop().time
    answered_at = clock()
    connection: Any = None
    try:
        while clock() - answered_at < SILENT_SECONDS:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    if connection is None:
                        connection = await database.session()
                    await connection.fetchval("SELECT 1")
                answered_at = clock()
                await asyncio.sleep(PULSE_SECONDS)
            except NOT_CONNECTED:
                if connection is not None:
                    connection.terminate()
                    connection = None
                await asyncio.sleep(0.5)
    finally:
        if connection is not None:
            connection.terminate()

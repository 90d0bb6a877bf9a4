"""The child process that evaluates everybody again: `python -m services.eligibility.rerun [DAY]`, settings as the
service's; the law is that in force on the day, of which one who starts it before midnight says which it is.

Tells how far it is, a line of JSON after each batch. Ends when everybody is done, on SIGTERM or SIGINT, or when whoever
started it is gone (its standard input ends), always after a whole batch.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from datetime import date

import orjson
import uvloop

from kernel.bus.embedded import EmbeddedBus
from kernel.clock import system_clock
from kernel.database import Database
from kernel.doorbell import wait_for
from kernel.events.outbox import Outbox
from kernel.keyset import Keyset
from kernel.memory import settle_memory
from kernel.settings import load_settings
from kernel.subject_keys import SubjectKeys
from kernel.telemetry import configure_logging
from rulebook.release import load_law_or_last_good
from services.eligibility.adapters.reruns import PostgresReruns
from services.eligibility.adapters.store import PostgresStore
from services.eligibility.application.matching import Matching
from services.eligibility.application.rerunning import Progress, Rerunning
from services.eligibility.domain.pace import Pace
from services.eligibility.settings import EligibilitySettings

NAME = "eligibility"
FINISHED, STOPPED = 0, 3
"""Exit status: everybody is done; stopped, and to be gone on with."""
_MOST_WAITING = 500
"""Events of ours that may wait to be published: while there are more, no batch is begun, so that the answers about
somebody who is reported now do not queue behind a release of the law."""
_LOOK_SECONDS = 0.2


async def rerun(
    database: Database,
    rerunning: Rerunning,
    stop: asyncio.Event,
    tell: Callable[[Progress], None],
) -> bool:
    """Batch by batch, until everybody is done (True) or `stop`. Raises Unavailable: run it again, it goes on there."""
    pace, monotonic = Pace(), asyncio.get_running_loop().time
    async with database.transaction() as tx:
        found = await rerunning.begin(tx)
    total = found.total
    while not stop.is_set():
        async with database.transaction() as tx:
            crowded = await rerunning.waiting(tx, _MOST_WAITING) >= _MOST_WAITING
            pace.saw(await rerunning.reported(tx), monotonic())
        if crowded:
            await wait_for(stop, _LOOK_SECONDS)
            continue
        began = monotonic()
        async with database.transaction() as tx:
            step = await rerunning.step(tx, pace.most(began))
        async with database.transaction() as tx:
            told = await rerunning.progress(tx, total)
        if told is None:
            return True  # Another release applies by now, and has its own re-run.
        tell(told)
        if told.finished:
            return True
        # Where there is nothing to claim, others work at what is left.
        await wait_for(stop, pace.rest(began, monotonic()) if step is not None else _LOOK_SECONDS)
    return False


def wired(settings: EligibilitySettings, on: date) -> tuple[Database, Rerunning]:
    """Raises ConfigurationError or LawError when a file it needs is missing or wrong."""
    law = load_law_or_last_good(settings.law_path, on=on, allow_unsealed=settings.law_unsealed).law
    keys = SubjectKeys(Keyset.load(settings.keyset_file), service=NAME, clock=system_clock)
    database = Database(settings.database_dsn, schema=NAME, role=f"fn_{NAME}", pool_size=1)
    store = PostgresStore()
    log = (
        EmbeddedBus(Database(settings.database_dsn, schema="bus", pool_size=1)) if settings.bus == "embedded" else None
    )
    matching = Matching(law, store, keys, Outbox(NAME, log), system_clock)
    return database, Rerunning(law, store, PostgresReruns(), matching, system_clock)


async def main() -> int:
    settings = load_settings(EligibilitySettings)
    configure_logging(settings.log_level, output="json")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_reader(sys.stdin.fileno(), _stop_at_the_end, sys.stdin.fileno(), stop)
    today = date.fromisoformat(sys.argv[1]) if len(sys.argv) > 1 else system_clock().date()
    database, rerunning = wired(settings, today)
    settle_memory()
    try:
        done = await rerun(database, rerunning, stop, _tell)
    finally:
        await database.close()
    return FINISHED if done else STOPPED


def _stop_at_the_end(pipe: int, stop: asyncio.Event) -> None:
    if not os.read(pipe, 64):
        asyncio.get_running_loop().remove_reader(pipe)
        stop.set()


def _tell(progress: Progress) -> None:
    sys.stdout.buffer.write(orjson.dumps(progress) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(main()))

"""A consumer of a test service in a process of its own, which can be stopped and go on (SIGSTOP, SIGCONT)."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import orjson

from kernel.bus.embedded import EmbeddedBus
from kernel.bus.kafka import KafkaBus
from kernel.database import Database
from tests.support.messaging import READERS, Service


class Replica:
    """The process; it ends with the block that made it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def of(cls, service: Service) -> AsyncIterator[Self]:
        """Another replica of the service, whose consumer does what the service's own do."""
        bus = service.bus
        place = {"dsn": service.dsn, "schema": service.database.schema}
        if isinstance(bus, KafkaBus):
            place |= {"kafka": bus.servers, "prefix": bus.prefix}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.replica", orjson.dumps(place).decode()),
            stdin=asyncio.subprocess.PIPE,
            # Its output is the test run's, so that a failure there is seen.
        )
        try:
            yield cls(process)
        finally:
            os.kill(process.pid, signal.SIGCONT)
            process.kill()
            await process.wait()

    def pause(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)


async def _run(place: dict[str, str]) -> None:
    # Ends with the test, also when that is killed: nobody holds the other end of its input then.
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), lambda: os._exit(0) if not os.read(sys.stdin.fileno(), 1) else None)

    def new_bus() -> EmbeddedBus | KafkaBus:
        if "kafka" in place:
            return KafkaBus(place["kafka"], client_id="replica", prefix=place["prefix"], session_seconds=6)
        return EmbeddedBus(Database(place["dsn"], schema="bus", pool_size=2), READERS)

    service = Service(place["dsn"], place["schema"], new_bus)
    stop = asyncio.Event()
    while True:
        try:
            await service.consumer().run(stop)
        except Exception as error:  # noqa: BLE001 - as `kernel.service` does
            print(f"a replica begins again: {error!r}", file=sys.stderr)  # noqa: T201
            await asyncio.sleep(0.2)


if __name__ == "__main__":
    asyncio.run(_run(orjson.loads(sys.argv[1])))

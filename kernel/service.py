"""Runs a service: its loops are started again whenever they fail, and stopped in the order that loses nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from fastapi import FastAPI

from kernel.backoff import backoff_seconds
from kernel.doorbell import wait_for
from kernel.http.server import serve
from kernel.telemetry import counter, gauge, logger

RESTARTS = counter("loop_restarts", "Loops started again after an error", ["service", "kind"])
RUNNING = gauge("loops_running", "Loops that run now", ["service"])

log = logger(__name__)


@dataclass(frozen=True)
class Loop:
    """Work that goes on until it is told to stop; when it raises, it is run again and resumes by itself."""

    name: str
    run: Callable[[asyncio.Event], Awaitable[None]]


@dataclass
class Service:
    """One service, wired. `loops` are in stopping order: what takes in work first, what carries it away last."""

    name: str
    app: FastAPI
    host: str
    port: int
    loops: Sequence[Loop]
    close: Callable[[], Awaitable[None]]

    async def run(self, stop: asyncio.Event) -> None:
        """Serves and works until `stop`, then stops: HTTP, consumers, senders, relay, connections."""
        ends = [asyncio.Event() for _ in self.loops]
        tasks = [
            asyncio.create_task(self._supervise(loop, end), name=f"{self.name}.{loop.name}")
            for loop, end in zip(self.loops, ends, strict=True)
        ]
        try:
            await serve(self.app, self.host, self.port, stop)
            for end, task in zip(ends, tasks, strict=True):
                end.set()
                await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.close()

    async def _supervise(self, loop: Loop, stop: asyncio.Event) -> None:
        failures = 0
        clock = asyncio.get_running_loop()
        while not stop.is_set():
            started = clock.time()
            try:
                RUNNING.labels(self.name).inc()
                await loop.run(stop)
            except Exception as error:  # noqa: BLE001 - said aloud, counted, and run again: work must resume by itself
                failures = 0 if clock.time() - started > 30 else failures + 1
                RESTARTS.labels(self.name, loop.name).inc()
                log.warning("a loop failed and is run again", service=self.name, name=loop.name, error=error)
                await wait_for(stop, backoff_seconds(failures))
            finally:
                RUNNING.labels(self.name).dec()


__all__ = ["Loop", "Service", "backoff_seconds"]

"""Work that goes on until it is told to stop: child processes that are started again when they die, and groups."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from kernel.doorbell import wait_for
from kernel.service import backoff_seconds
from launcher.processes import LeashedProcess

STOP_SECONDS = 30.0
_LOOK_SECONDS = 0.1
_STEADY_SECONDS = 30.0

Run = Callable[[asyncio.Event], Awaitable[None]]


class Child:
    """A command of ours in a process of its own, started again whenever it ends; its output goes to a log."""

    def __init__(
        self, name: str, arguments: Sequence[str], *, log: Path, environment: Mapping[str, str], nice: int = 0
    ) -> None:
        """`nice` lets other processes go first, as in nice(1)."""
        self.name = name
        self.starts = 0
        self._arguments = [sys.executable, "-m", "launcher", *arguments]
        self._log = log
        self._environment = environment
        self._nice = nice
        self._process: LeashedProcess | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.running else None

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then SIGTERM, and SIGKILL if that takes too long."""
        clock = asyncio.get_running_loop()
        failures = 0
        while not stop.is_set():
            started = clock.time()
            self.starts += 1
            self._process = process = LeashedProcess(
                self._arguments, output=self._log, keep_output=True, environment=self._environment
            )
            os.setpriority(os.PRIO_PROCESS, process.pid, self._nice)
            try:
                while process.running and not stop.is_set():
                    await wait_for(stop, _LOOK_SECONDS)
            finally:
                if process.running:
                    await asyncio.shield(asyncio.to_thread(process.terminate, STOP_SECONDS))
            if not stop.is_set():
                failures = 0 if clock.time() - started > _STEADY_SECONDS else failures + 1
                await wait_for(stop, backoff_seconds(failures))


class Group:
    """What runs side by side and is stopped together."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Future[None]] = []

    def start(self, run: Run) -> None:
        self._tasks.append(asyncio.ensure_future(run(self._stop)))

    async def failure(self) -> None:
        """Ends when a part has ended although nobody stopped it, with that part's error."""
        if not self._tasks:
            await asyncio.Event().wait()
        ended, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()

    async def stop(self) -> None:
        """Tells all to stop and waits for them; errors were told by `failure`."""
        self._stop.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)

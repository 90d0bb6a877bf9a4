"""Work that goes on until it is told to stop: processes that are started again when they die, and groups."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from kernel.doorbell import wait_for
from kernel.errors import FirstnoticeError
from kernel.service import backoff_seconds
from kernel.telemetry import logger
from launcher.processes import LeashedProcess

STOP_SECONDS = 30.0
_LOOK_SECONDS = 0.1
_STEADY_SECONDS = 30.0

Run = Callable[[asyncio.Event], Awaitable[None]]
Tell = Callable[[str], None]
"""Takes one line for the people at the console."""

log = logger(__name__)


class Part(Protocol):
    """A process that is to run: a child of ours, or a server. `start` and `stop` block."""

    @property
    def name(self) -> str: ...

    @property
    def running(self) -> bool: ...

    @property
    def returncode(self) -> int | None:
        """How it ended, negative for a signal; None when nobody knows."""

    def start(self, given_up: Callable[[], bool], /) -> object:
        """Returns when it runs. Raises FirstnoticeError or OSError; soon when `given_up`."""

    def stop(self) -> None:
        """Also when it does not run."""


class Child:
    """A command of ours in a process of its own; its output goes to a log."""

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
    def running(self) -> bool:
        return self._process is not None and self._process.running

    @property
    def returncode(self) -> int | None:
        return None if self._process is None else self._process.returncode

    def start(self, given_up: Callable[[], bool] = lambda: False) -> None:
        """Does not wait for what the command does first, so it need not be given up."""
        self.starts += 1
        self._process = LeashedProcess(
            self._arguments, output=self._log, keep_output=True, environment=self._environment
        )
        os.setpriority(os.PRIO_PROCESS, self._process.pid, self._nice)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that takes too long."""
        if self._process is not None and self._process.running:
            self._process.terminate(STOP_SECONDS)


async def at_once() -> bool:
    """For a part that does its work as soon as `start` returns."""
    return True


async def keep_running(
    part: Part, stop: asyncio.Event, *, tell: Tell, works: Callable[[], Awaitable[bool]] = at_once
) -> None:
    """Starts it, again whenever it ends, until `stop`; then stops it. Tells of deaths, and when it `works` again."""
    clock = asyncio.get_running_loop()
    deaths = in_vain = 0
    error: Exception | None
    try:
        while not stop.is_set():
            started = clock.time()
            try:
                if not _lives(part):
                    await asyncio.to_thread(part.start, stop.is_set)
                if deaths and await _comes_to_work(part, stop, works):
                    in_vain = 0
                    log.info("a process works again", name=part.name, attempts=deaths)
                    tell(f"{part.name} works again")
                while _lives(part) and not stop.is_set():
                    await wait_for(stop, _LOOK_SECONDS)
                what = f"{part.name} {how_it_ended(part.returncode)}: it is started again"
                error = None
            except (FirstnoticeError, OSError) as raised:
                what = f"{part.name} could not be started, which is tried again: {_first_line(raised)}"
                error = raised
            if stop.is_set():
                return
            deaths, in_vain = deaths_in_a_row(deaths, clock.time() - started), in_vain + 1
            event = "a process died" if error is None else "a process could not be started"
            log.warning(event, name=part.name, status=part.returncode, attempts=deaths, error=error)
            if is_worth_telling(in_vain):
                tell(what if in_vain == 1 else f"{what} ({in_vain} times in a row)")
            await wait_for(stop, backoff_seconds(deaths))
    finally:
        await asyncio.shield(asyncio.to_thread(part.stop))


async def _comes_to_work(part: Part, stop: asyncio.Event, works: Callable[[], Awaitable[bool]]) -> bool:
    """False when it dies before that, or all has to stop."""
    while _lives(part) and not stop.is_set():
        if await works():
            return True
        await wait_for(stop, _LOOK_SECONDS)
    return False


def _lives(part: Part) -> bool:
    try:
        return part.running
    except OSError:  # out of file descriptors, for instance: no server is restarted on a guess
        return True


def how_it_ended(returncode: int | None) -> str:
    """An exit status, or the negative number of a signal, as it is told to people; None is unknown."""
    if returncode is None:
        return "ended"
    if returncode >= 0:
        return f"ended with status {returncode}"
    try:
        return f"was killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was killed by signal {-returncode}"


def deaths_in_a_row(before: int, lived_seconds: float) -> int:
    """With the present one; whoever lived long enough begins anew."""
    return 1 if lived_seconds > _STEADY_SECONDS else before + 1


def is_worth_telling(in_vain: int) -> bool:
    """Of the deaths since it last worked: the first, and then ever more rarely, so that one part that cannot run does
    not drown what else is told."""
    return in_vain & (in_vain - 1) == 0


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].removesuffix(":")


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

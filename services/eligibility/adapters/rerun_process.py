"""Evaluating everybody in a child process of low priority, which does not outlive us."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import orjson

from kernel.settings import PREFIX, ServiceSettings
from services.eligibility.application.rerunning import Progress

NICE = 10
"""As in nice(1): a tenth of a processor that others want whole, so that a release gets on where there is never rest."""
_STOP_SECONDS = 20.0


def environment(settings: ServiceSettings) -> dict[str, str]:
    """The variables from which a child reads the same settings."""
    given = settings.model_dump(mode="json", exclude_none=True)
    return {
        PREFIX + name.upper(): orjson.dumps(value).decode() if isinstance(value, dict) else str(value)
        for name, value in given.items()
    }


def let_others_first(pid: int) -> None:
    """For a process that leads a session of its own: there, Linux compares not processes but whole sessions."""
    os.setpriority(os.PRIO_PROCESS, pid, NICE)
    # sched(7), autogroup: elsewhere, and in a container, there is none.
    with suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(NICE), "ascii")


class RerunProcess:
    """One run of `services.eligibility.rerun`."""

    def __init__(self, variables: Mapping[str, str], on: date | None = None) -> None:
        """`variables` are added to our environment; the law is that in force `on` a day, ours; default: today."""
        self._variables = variables
        self._day = () if on is None else (on.isoformat(),)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.eligibility.rerun",
            *self._day,
            stdin=asyncio.subprocess.PIPE,  # ours alone: when we are gone, it ends, and so does the child
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **self._variables},
            start_new_session=True,  # a Ctrl-C in the terminal is for us; we stop the child in order
        )
        let_others_first(self._process.pid)

    async def progress(self) -> AsyncIterator[Progress]:
        """What it tells, until it ends."""
        assert self._process is not None, "started first"
        assert self._process.stdout is not None, "started with a pipe"
        async for line in self._process.stdout:
            told: dict[str, Any] = orjson.loads(line)
            yield Progress(**told)

    async def ended(self) -> int:
        """Waits for it: `FINISHED`, `STOPPED`, or what it failed with."""
        assert self._process is not None, "started first"
        return await self._process.wait()

    def let_go(self) -> None:
        """As our end would: it finishes its batch and ends."""
        assert self._process is not None, "started first"
        assert self._process.stdin is not None, "started with a pipe"
        self._process.stdin.close()

    async def stop(self) -> None:
        """Lets it finish its batch; after some time, SIGKILL: what was begun is undone, and done again next time."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

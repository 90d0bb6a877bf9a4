"""Running a service's loops for the length of a block."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from kernel.doorbell import wait_for
from kernel.errors import Unavailable

Run = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


@asynccontextmanager
async def running(*runs: Run) -> AsyncIterator[None]:
    """Runs the loops during the block, then stops them; a loop that fails fails the test."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for run in runs:
            group.create_task(run(stop))
        yield
        stop.set()


def again_and_again(run: Run) -> Run:
    """The loop as `kernel.service` runs it: begun again whenever what it needs was away."""

    async def supervised(stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await run(stop)
            except Unavailable:
                await wait_for(stop, 0.1)

    return supervised


@asynccontextmanager
async def killed(run: Run) -> AsyncIterator[None]:
    """Runs a loop during the block and cancels it at the end, without any farewell of its own."""
    task = asyncio.create_task(run(asyncio.Event()))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

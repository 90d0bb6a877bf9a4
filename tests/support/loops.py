"""Running a service's loops for the length of a block."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

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


@asynccontextmanager
async def killed(run: Run) -> AsyncIterator[None]:
    """Runs a loop during the block and cancels it at the end, without any farewell of its own."""
    task = asyncio.create_task(run(asyncio.Event()))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

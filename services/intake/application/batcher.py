"""Coalesces what waits at the same moment into one transaction: a commit costs the same for one report as for sixty.

No delay is added: whoever comes while nothing is being written is written at once, alone.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from kernel.errors import Unavailable
from kernel.telemetry import histogram

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

LARGEST = 64

SIZE = histogram("intake_batch_size", "Reports written in one transaction", buckets=(1, 2, 4, 8, 16, 32, 64))


@dataclass(slots=True)
class _Waiting(Generic[Item, Outcome]):
    item: Item
    done: "asyncio.Future[Outcome]"


class Batcher(Generic[Item, Outcome]):
    """One writer for many that wait.

    `write` gets items of which no two share a claim, in one transaction, and returns one outcome per item; an
    exception among the outcomes belongs to that item alone. When `write` itself raises, items are written one by one.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Awaitable[Sequence[Outcome | Exception]]],
        claims: Callable[[Item], frozenset[Hashable]],
    ) -> None:
        self._write = write
        self._claims = claims
        self._queue: deque[_Waiting[Item, Outcome]] = deque()
        self._bell = asyncio.Event()

    async def submit(self, item: Item) -> Outcome:
        """The item's outcome once it is durable. Raises the exception that belongs to it, or Unavailable."""
        waiting = _Waiting[Item, Outcome](item, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._bell.set()
        return await waiting.done

    async def run(self, stop: asyncio.Event) -> None:
        """The writer, until `stop`; what waits then is still written."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while True:
                while batch := self._take():
                    await self._settle(batch)
                if stop.is_set():
                    return
                self._bell.clear()
                ringing = asyncio.create_task(self._bell.wait())
                await asyncio.wait({ringing, stopping}, return_when=asyncio.FIRST_COMPLETED)
                ringing.cancel()
        finally:
            stopping.cancel()
            while self._queue:
                _fail(self._queue.popleft(), Unavailable("the writer was stopped"))

    def _take(self) -> list[_Waiting[Item, Outcome]]:
        """The next batch: first come first served, but of those that share a claim only the first."""
        batch: list[_Waiting[Item, Outcome]] = []
        later: list[_Waiting[Item, Outcome]] = []
        claimed: set[Hashable] = set()
        while self._queue and len(batch) < LARGEST:
            waiting = self._queue.popleft()
            if waiting.done.cancelled():
                continue
            claims = self._claims(waiting.item)
            (batch if claimed.isdisjoint(claims) else later).append(waiting)
            claimed |= claims
        self._queue.extendleft(reversed(later))
        return batch

    async def _settle(self, batch: Sequence[_Waiting[Item, Outcome]]) -> None:
        SIZE.observe(len(batch))
        try:
            outcomes = await self._write([waiting.item for waiting in batch])
        except Unavailable as error:
            for waiting in batch:
                _fail(waiting, error)
        except asyncio.CancelledError:
            for waiting in batch:
                _fail(waiting, Unavailable("the writer was stopped"))
            raise
        except Exception as error:  # noqa: BLE001 - given to whom it belongs; the others are written
            if len(batch) == 1:
                _fail(batch[0], error)
                return
            for waiting in batch:
                await self._settle([waiting])
        else:
            for waiting, outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, Exception):
                    _fail(waiting, outcome)
                elif not waiting.done.done():
                    waiting.done.set_result(outcome)


def _fail(waiting: _Waiting[Item, Outcome], error: Exception) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(error)

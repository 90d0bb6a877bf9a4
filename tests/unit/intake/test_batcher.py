"""The batcher: together what waits, nobody harmed by another, nothing left waiting."""

import asyncio
from collections.abc import Sequence

import pytest

from kernel.errors import Unavailable
from services.intake.application.batcher import LARGEST, Batcher
from tests.support.loops import running


class Writer:
    """Writes numbers; remembers the batches; waits at `gate`."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.writing = asyncio.Event()
        self.away = False

    async def write(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(items))
        self.writing.set()
        await self.gate.wait()
        if self.away:
            raise Unavailable("away")
        if any(item < 0 for item in items):
            raise ValueError("a whole batch fails")
        return [KeyError(item) if item == 13 else item * 10 for item in items]


async def waiting_behind_a_first(batcher: Batcher[int, int], writer: Writer, items: Sequence[int]) -> list[object]:
    """Submits 1, and the items while it is being written."""
    writer.gate.clear()
    first = asyncio.create_task(batcher.submit(1))
    await writer.writing.wait()
    rest = [asyncio.create_task(batcher.submit(item)) for item in items]
    await asyncio.sleep(0)
    writer.gate.set()
    return list(await asyncio.gather(first, *rest, return_exceptions=True))


async def test_who_comes_alone_is_written_at_once_and_who_waits_together() -> None:
    writer = Writer()
    batcher: Batcher[int, int] = Batcher(writer.write, lambda item: frozenset({item}))
    async with running(batcher.run):
        assert await waiting_behind_a_first(batcher, writer, range(2, 6)) == [10, 20, 30, 40, 50]
    assert writer.batches == [[1], [2, 3, 4, 5]]


async def test_a_batch_has_a_largest_size() -> None:
    writer = Writer()
    batcher: Batcher[int, int] = Batcher(writer.write, lambda item: frozenset({item}))
    async with running(batcher.run):
        await waiting_behind_a_first(batcher, writer, range(100, 100 + LARGEST + 5))
    assert [len(batch) for batch in writer.batches] == [1, LARGEST, 5]


async def test_of_those_that_share_a_claim_one_is_in_a_batch_and_their_order_stays() -> None:
    writer = Writer()
    batcher: Batcher[int, int] = Batcher(writer.write, lambda item: frozenset({item % 10}))
    async with running(batcher.run):
        await waiting_behind_a_first(batcher, writer, [2, 12, 3, 22])
    assert writer.batches == [[1], [2, 3], [12], [22]]


async def test_the_exception_of_one_is_that_ones_alone() -> None:
    writer = Writer()
    batcher: Batcher[int, int] = Batcher(writer.write, lambda item: frozenset({item}))
    async with running(batcher.run):
        _, two, thirteen, three = await waiting_behind_a_first(batcher, writer, [2, 13, 3])
    assert (two, three) == (20, 30)
    assert isinstance(thirteen, KeyError)


async def test_a_batch_that_fails_is_written_one_by_one() -> None:
    writer = Writer()
    batcher: Batcher[int, int] = Batcher(writer.write, lambda item: frozenset({item}))
    async with running(batcher.run):
        _, two, bad, three = await waiting_behind_a_first(batcher, writer, [2, -1, 3])
    assert (two, three) == (20, 30)
    assert isinstance(bad, ValueError)


async def test_while_the_store_is_away_all_are_told_so_and_it_goes_on_afterwards() -> None:
    writer = Writer()
    batcher: Batcher[int, int] = Batcher(writer.write, lambda item: frozenset({item}))
    async with running(batcher.run):
        writer.away = True
        outcomes = await waiting_behind_a_first(batcher, writer, [2, 3])
        assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
        writer.away = False
        assert await batcher.submit(4) == 40


async def test_who_gave_up_waiting_is_not_written() -> None:
    writer = Writer()
    batcher: Batcher[int, int] = Batcher(writer.write, lambda item: frozenset({item}))
    async with running(batcher.run):
        writer.gate.clear()
        first = asyncio.create_task(batcher.submit(1))
        await writer.writing.wait()
        impatient = asyncio.create_task(batcher.submit(2))
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.sleep(0)
        writer.gate.set()
        assert await first == 10
        assert await batcher.submit(3) == 30
    assert writer.batches == [[1], [3]]


async def test_a_writer_that_is_cut_off_leaves_nobody_waiting() -> None:
    writer = Writer()
    batcher: Batcher[int, int] = Batcher(writer.write, lambda item: frozenset({item}))
    writer.gate.clear()
    running_task = asyncio.create_task(batcher.run(asyncio.Event()))
    waiting = [asyncio.create_task(batcher.submit(item)) for item in (1, 1)]
    await writer.writing.wait()
    running_task.cancel()
    for one in waiting:
        with pytest.raises(Unavailable):
            await one

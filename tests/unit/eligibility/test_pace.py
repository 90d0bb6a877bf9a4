"""A re-run has the machine while nobody is reported, and a tenth of it while encounters come in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from services.eligibility.application.rerunning import Progress, Step
from services.eligibility.domain.pace import BESIDE, IN_FULL, QUIET_SECONDS, RESTS, Pace
from services.eligibility.rerun import rerun


def test_it_goes_in_full_until_something_comes_in() -> None:
    pace = Pace()
    pace.saw(700, 0.0)
    assert (pace.most(0.0), pace.rest(0.0, 0.5)) == (IN_FULL, 0.0)
    pace.saw(700, 1.0)
    assert pace.most(1.0) == IN_FULL
    pace.saw(701, 2.0)
    assert (pace.most(2.0), pace.rest(2.0, 2.5)) == (BESIDE, RESTS * 0.5)


def test_it_goes_in_full_again_once_it_has_been_quiet_for_a_while() -> None:
    pace = Pace()
    pace.saw(1, 0.0)
    pace.saw(2, 1.0)
    last = 1.0 + QUIET_SECONDS
    pace.saw(2, last)
    assert pace.most(last - 0.01) == BESIDE
    assert (pace.most(last), pace.rest(last, last + 1)) == (IN_FULL, 0.0)
    pace.saw(3, last + 5)
    assert pace.most(last + 5) == BESIDE


class Scripted:
    """Stands for the use case: what came in before each batch, and how large each batch was to be."""

    def __init__(self, reported: list[int]) -> None:
        self._reported = iter(reported)
        self._left = len(reported)
        self.most: list[int] = []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        yield

    async def begin(self, tx: None) -> Progress:
        return self._progress()

    async def waiting(self, tx: None, limit: int) -> int:
        return 0

    async def reported(self, tx: None) -> int:
        return next(self._reported)

    async def step(self, tx: None, most: int) -> Step:
        self.most.append(most)
        self._left -= 1
        return Step(most, 0, 0, 0)

    async def progress(self, tx: None, total: int) -> Progress:
        return self._progress()

    def _progress(self) -> Progress:
        return Progress(law_version="1", persons=0, changed=0, erased=0, failed=0, total=9, finished=not self._left)


async def test_batches_are_small_as_soon_as_encounters_come_in() -> None:
    everybody: Any = Scripted([5, 5, 6, 6])
    assert await rerun(everybody, everybody, asyncio.Event(), lambda _: None)
    assert everybody.most == [IN_FULL, IN_FULL, BESIDE, BESIDE]

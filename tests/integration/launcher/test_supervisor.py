"""Children are started again when they die, and groups end together."""

import asyncio
from pathlib import Path

import pytest

from launcher.supervisor import Child, Group
from tests.support.wait import until


async def test_a_child_that_ends_is_started_again_until_it_is_told_to_stop(tmp_path: Path) -> None:
    child = Child("help", ["--help"], log=tmp_path / "log", environment={})
    stop = asyncio.Event()
    running = asyncio.create_task(child.run(stop))
    await until(lambda: child.starts, lambda starts: starts >= 3)
    stop.set()
    await running
    assert child.pid is None
    assert (tmp_path / "log").read_text().count("Usage") >= 2


async def test_a_part_that_fails_is_told_and_the_others_are_stopped_with_the_group() -> None:
    group = Group()
    ended = asyncio.Event()

    async def works(stop: asyncio.Event) -> None:
        await stop.wait()
        ended.set()

    async def fails(stop: asyncio.Event) -> None:
        raise RuntimeError("broken")

    group.start(works)
    group.start(fails)
    with pytest.raises(RuntimeError, match="broken"):
        await group.failure()
    assert not ended.is_set()
    await group.stop()
    assert ended.is_set()

"""Processes are started again when they die, which is told; and groups end together."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from launcher.processes import LeashedProcess
from launcher.supervisor import Child, Group, keep_running
from tests.support.wait import until


class Server:
    """Starts only when it is let, as a server that has much to recover; waits for that until it is given up."""

    name = "server"

    def __init__(self, log: Path) -> None:
        self.allowed = True
        self.starts = self.given_up = 0
        self._log = log
        self.process: LeashedProcess | None = None

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.running

    @property
    def returncode(self) -> int | None:
        return None if self.process is None else self.process.returncode

    def start(self, given_up: Callable[[], bool]) -> None:
        self.starts += 1
        while not self.allowed:
            if given_up():
                self.given_up += 1
                raise OSError("given up")
        self.process = LeashedProcess(["/bin/sleep", "600"], output=self._log)

    def stop(self) -> None:
        if self.running and self.process is not None:
            self.process.kill()


async def test_a_child_that_ends_is_started_again_until_it_is_told_to_stop(tmp_path: Path) -> None:
    child = Child("help", ["--help"], log=tmp_path / "log", environment={})
    told: list[str] = []
    stop = asyncio.Event()
    running = asyncio.create_task(keep_running(child, stop, tell=told.append))
    await until(lambda: child.starts, lambda starts: starts >= 3)
    stop.set()
    await running
    assert not child.running
    assert (tmp_path / "log").read_text().count("Usage") >= 2
    assert told[0] == "help ended with status 0: it is started again"


async def test_a_server_that_was_killed_is_started_again_and_both_are_told(tmp_path: Path) -> None:
    server, told = Server(tmp_path / "log"), list[str]()
    group = Group()
    group.start(partial(keep_running, server, tell=told.append))
    for death in (1, 2):
        await until(lambda: server.running, bool)
        assert server.process is not None
        server.process.kill()
        await until(lambda: server.starts, lambda starts, death=death: starts > death)
        await until(lambda: len(told), lambda lines, death=death: lines == 2 * death)
    assert told == 2 * ["server was killed by SIGKILL: it is started again", "server works again"]
    await group.stop()
    assert not server.running


async def test_it_works_again_only_when_it_says_so(tmp_path: Path) -> None:
    server, told = Server(tmp_path / "log"), list[str]()
    looks = 0

    async def works() -> bool:
        nonlocal looks
        looks += 1
        return looks > 2

    group = Group()
    group.start(partial(keep_running, server, tell=told.append, works=works))
    await until(lambda: server.running, bool)
    assert looks == 0
    assert server.process is not None
    server.process.kill()
    await until(lambda: told, lambda lines: "server works again" in lines)
    assert looks == 3
    await group.stop()


async def test_what_cannot_be_started_is_tried_again_and_said(tmp_path: Path) -> None:
    told: list[str] = []
    child = Child("audit", [], log=tmp_path, environment={})  # a folder is no log
    group = Group()
    group.start(partial(keep_running, child, tell=told.append))
    await until(lambda: child.starts, lambda starts: starts >= 3)
    await group.stop()
    assert told[0].startswith("audit could not be started, which is tried again: ")


async def test_a_start_that_takes_its_time_is_given_up_when_all_has_to_stop(tmp_path: Path) -> None:
    server, told = Server(tmp_path / "log"), list[str]()
    server.allowed = False
    group = Group()
    group.start(partial(keep_running, server, tell=told.append))
    await until(lambda: server.starts, bool)
    async with asyncio.timeout(20):
        await group.stop()
    assert (server.given_up, server.running, told) == (1, False, [])


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

"""A launcher that was killed leaves nothing that its successor, started at once, does not take over or end."""

import os
import signal

import psutil
import pytest

from launcher.postgres import EmbeddedPostgres
from launcher.processes import is_live
from tests.support.installation import Installation, kill_with_leashes, reserve_base_port
from tests.support.wait import until

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize("leashed", [True, False], ids=["alone", "with its leashes"])
@pytest.mark.parametrize("mode", ["embedded", pytest.param("cluster", marks=pytest.mark.kafka)])
async def test_the_successor_of_a_killed_launcher_is_whole_and_nothing_is_left(
    installation: Installation, mode: str, leashed: bool
) -> None:
    arguments = ["--cluster"] if mode == "cluster" else []
    port = reserve_base_port()
    killed = installation.start(*arguments, port=port)
    await installation.until_said("Everything runs")
    children = installation.children()
    assert len(children) == (8 if arguments else 5)
    server = EmbeddedPostgres(installation.home.postgres)
    postmaster = server.pid
    everybody = [one for one in psutil.Process(killed.pid).children() if one.pid != postmaster]
    if leashed:
        os.kill(killed.pid, signal.SIGKILL)
    else:
        kill_with_leashes(psutil.Process(killed.pid))
        assert [name for name, child in children.items() if not is_live(child)] == []

    successor = installation.start(*arguments, port=port)
    await installation.until_said("Everything runs")
    assert [one for one in everybody if is_live(one)] == []
    assert server.pid == postmaster
    assert installation.said.count("it is started again") == 0
    assert "could not be started" not in installation.said
    await installation.tells("01")

    everybody = psutil.Process(successor.pid).children(recursive=True)
    os.kill(successor.pid, signal.SIGTERM)
    await until(lambda: successor.running, lambda running: not running)
    assert successor.returncode == 0
    assert [one for one in everybody if is_live(one)] == []
    assert server.pid is None

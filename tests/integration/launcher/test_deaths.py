"""What dies of a running installation is started again and said; the installation is whole again by itself."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from launcher.home import Home, at
from launcher.postgres import EmbeddedPostgres
from launcher.processes import is_live
from tests.support.installation import Installation
from tests.support.servers import postgres_log
from tests.support.wait import until

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
async def everything(server_folder: Path) -> AsyncIterator[Installation]:
    """An installation that the tests of this module may wound, one after the other."""
    made = Installation(at(server_folder / "everything"))
    made.start()
    await made.until_said("Everything runs")
    yield made
    made.runs[-1].terminate(30)


def postmaster(home: Home) -> psutil.Process:
    pid = EmbeddedPostgres(home.postgres).pid
    assert pid is not None
    return psutil.Process(pid)


def logged(home: Home) -> str:
    return (home.logs / "firstnotice.log").read_text(encoding="utf-8")


async def test_a_killed_postgresql_is_said_and_started_again_and_all_is_whole(everything: Installation) -> None:
    killed = postmaster(everything.home)
    killed.kill()
    await everything.until_said("PostgreSQL was killed by SIGKILL: it is started again\nPostgreSQL works again\n")
    await everything.until_ready()
    await everything.tells("01")
    assert postmaster(everything.home) != killed
    for event in ("a process died", "a process works again"):
        assert f'"name":"PostgreSQL","{"status" if event.endswith("died") else "attempts"}":' in logged(everything.home)
        assert f'"event":"{event}"' in logged(everything.home)


async def test_the_death_of_a_backend_is_for_postgresql_to_heal(everything: Installation) -> None:
    before, said = postmaster(everything.home), everything.said
    backend = next(child for child in before.children() if "firstnotice" in child.cmdline()[0])
    backend.kill()
    await until(
        lambda: postgres_log(everything.home.postgres),
        lambda log: f"(PID {backend.pid}) was terminated by signal 9" in log,
    )
    await everything.until_ready()
    await everything.tells("02")
    assert postmaster(everything.home) == before
    assert everything.said == said


@pytest.mark.parametrize("name", ["audit", "eligibility", "dss", "juvenile-officers", "hhs"])
async def test_a_killed_service_or_recipient_is_said_and_started_again(everything: Installation, name: str) -> None:
    everything.children()[name].kill()
    await everything.until_said(f"{name} was killed by SIGKILL: it is started again\n{name} works again\n")
    await everything.until_ready()


async def test_what_was_killed_again_and_again_comes_back_each_time(everything: Installation) -> None:
    before = everything.said.count("PostgreSQL works again")
    for times in range(1, 4):
        postmaster(everything.home).kill()
        await until(lambda: everything.said.count("PostgreSQL works again"), lambda n, t=times: n == before + t)
    await everything.until_ready()


async def test_all_stops_soon_also_while_postgresql_cannot_be_started(installation: Installation) -> None:
    process = installation.start()
    await installation.until_said("Everything runs")
    everybody = psutil.Process(process.pid).children(recursive=True)
    control = installation.home.postgres / "cluster" / "global" / "pg_control"
    control.rename(control.with_name("taken"))
    postmaster(installation.home).kill()
    await installation.until_said("PostgreSQL could not be started, which is tried again: ")

    os.kill(process.pid, signal.SIGINT)
    await until(lambda: process.running, lambda running: not running)
    assert process.returncode == 0
    assert [one for one in everybody if is_live(one)] == []
    control.with_name("taken").rename(control)


@pytest.mark.kafka
async def test_a_killed_broker_is_said_and_started_again_and_all_is_whole(installation: Installation) -> None:
    installation.start("--cluster")
    await installation.until_said("Everything runs")
    installation.children()["broker"].kill()
    await installation.until_said("Apache Kafka was killed by SIGKILL: it is started again\nApache Kafka works again\n")
    await installation.until_ready()
    await installation.tells("01")

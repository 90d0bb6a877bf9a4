"""The main job, as `make run ARGS=--exit` does it: every due notice arrives and is answered, no other is sent."""

import asyncio
import os
import re
import signal
import sys

import httpx
import orjson
import pytest

from kernel.database import Database
from launcher.client import Signed
from launcher.examples import EXAMPLES
from launcher.postgres import EmbeddedPostgres
from launcher.processes import LeashedProcess
from launcher.verdict import against_sequences
from tests.support.installation import PATIENCE, Installation
from tests.support.wait import until


async def test_everyone_due_is_told_once_and_a_second_run_tells_nobody_again(installation: Installation) -> None:
    assert await installation.run() == 0, installation.said
    told = installation.ledgers()
    assert installation.received() >= 40

    assert await installation.run() == 0, installation.said
    assert installation.ledgers() == told

    # While it ran, the trail held every event, says its exit status. What it told of its own end, such as a checkpoint,
    # the trail takes in at the next start.
    with EmbeddedPostgres(installation.home.postgres) as server:
        database = Database(server.dsn, schema="audit", pool_size=1)
        assert [line for line in await against_sequences(database) if not line.startswith("audit, ")] == []
        async with database.transaction() as tx:
            await tx.driver.execute("UPDATE router.outbox_shard SET next = next + 1 WHERE shard = 7")
        assert "router, shard 7" in "".join(await against_sequences(database))
        await database.close()


async def test_a_recipient_that_never_acknowledges_fails_the_job(installation: Installation) -> None:
    assert await installation.run("--silent", "dss", "--patience", "9") == 1
    assert "mo-dss: not acknowledged" in installation.said
    assert "us-hhs-otip: not acknowledged" not in installation.said


async def test_a_run_that_is_killed_half_way_is_taken_up_by_the_next(installation: Installation) -> None:
    process = installation.start("--examples", "--exit")
    await until(installation.received, lambda count: count >= 3, seconds=PATIENCE)
    os.kill(process.pid, signal.SIGKILL)
    await until(lambda: process.running, lambda running: not running)

    assert await installation.run() == 0, installation.said


async def test_reports_and_signed_requests_of_the_command_line_are_taken(installation: Installation) -> None:
    installation.start()
    await until(lambda: "Everything runs" in installation.said, bool, seconds=PATIENCE)
    urls = dict(re.findall(r"^\s*(intake|audit)\s+(http://\S+)", installation.said, re.MULTILINE))
    at_home = ["--data-dir", str(installation.home.root)]
    files = [str(EXAMPLES / "encounters" / f"17-adult-who-proves-a-minor{end}.json") for end in (".amendment", "")]
    for _ in range(2):
        sent = await command("send", *files, "--url", urls["intake"], *at_home)
        assert len(set(re.findall(r"^[0-9a-f-]{36}", sent, re.MULTILINE))) == 1
        assert len(sent.splitlines()) == 2

    token = (await command("token", "auditor", "GET", "/v1/trail", *at_home)).strip()
    async with httpx.AsyncClient(base_url=urls["audit"], headers={"Authorization": f"Bearer {token}"}) as http:
        answer = await http.get("/v1/trail")
    assert answer.status_code == 200, answer.text


async def test_the_department_reads_what_a_person_may_have_and_the_agency_does_not(installation: Installation) -> None:
    installation.start()
    await until(lambda: "Everything runs" in installation.said, bool, seconds=PATIENCE)
    urls = dict(re.findall(r"^\s*(intake|eligibility)\s+(http://\S+)", installation.said, re.MULTILINE))
    report = next((EXAMPLES / "encounters").glob("01-*.json"))
    sent = await command("send", str(report), "--url", urls["intake"], "--data-dir", str(installation.home.root))
    (encounter,) = re.findall(r"^[0-9a-f-]{36}", sent, re.MULTILINE)

    home = installation.home
    department = Signed.from_file("mo-dss", home.recipient_secrets("dss") / "key.json")
    agency = home.client_of(orjson.loads(report.read_bytes())["agency_ori"])
    path = f"/v1/encounters/{encounter}/determinations"
    async with httpx.AsyncClient(base_url=urls["eligibility"]) as http:
        answer = await until(lambda: http.get(path, auth=department), lambda answer: answer.status_code != 404)
        refused = await http.get(path, auth=Signed.from_file(agency, home.key_of(agency)))
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["subjects"]) == 1
    assert refused.status_code == 403


async def command(*arguments: str) -> str:
    """What a command prints; it has to succeed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "launcher", *arguments), stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return printed.decode()


async def test_it_stays_up_until_it_is_told_to_stop_and_then_stops_in_order(installation: Installation) -> None:
    process = installation.start()
    await until(lambda: "Everything runs" in installation.said, bool, seconds=PATIENCE)
    second = installation.home.root.parent / "second.txt"
    rival = LeashedProcess(
        [sys.executable, "-m", "launcher", "up", "--port", "0", "--data-dir", str(installation.home.root)],
        output=second,
    )
    await until(lambda: rival.running, lambda running: not running)
    assert rival.returncode == 2
    assert "is in use by process" in second.read_text()
    assert "Traceback" not in second.read_text()

    os.kill(process.pid, signal.SIGTERM)
    await until(lambda: process.running, lambda running: not running)
    assert process.returncode == 0
    assert EmbeddedPostgres(installation.home.postgres).pid is None


@pytest.mark.kafka
async def test_the_same_over_kafka_with_a_process_per_service(installation: Installation) -> None:
    assert await installation.run("--cluster") == 0, installation.said
    told = installation.ledgers()
    assert await installation.run("--cluster") == 0, installation.said
    assert installation.ledgers() == told

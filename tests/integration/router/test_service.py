"""The whole service as `bootstrap.build` makes it: encounters come over the bus, answers over HTTP."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import httpx
import pytest
import yaml

from contracts.envelope import encode_headers, encode_value, sequence_headers
from kernel.bus import Record
from kernel.bus.embedded import EmbeddedBus
from kernel.database import Database
from kernel.identity import client_entry, generate_key, sign_request, write_clients
from kernel.migrations import BUS, migrate
from launcher.processes import reserve_loopback_ports
from rulebook.loader import LAW
from rulebook.release import archive
from services.router.bootstrap import build
from services.router.settings import RouterSettings
from tests.integration.router.house import House, adult, endpoint
from tests.integration.router.receiver import receiving
from tests.support.messaging import write_log
from tests.support.wait import until

pytestmark = pytest.mark.postgres


async def test_an_encounter_on_the_bus_becomes_a_confirmed_and_answered_notice(
    house: House, database_dsn: str, tmp_path: Path
) -> None:
    await migrate(database_dsn, [BUS])
    key, (port,) = generate_key(), reserve_loopback_ports(1)
    write_clients(
        tmp_path / "clients.json",
        [
            client_entry("mo-dss", "recipient", key, scopes={"notices:acknowledge"}, recipient_id="mo-dss"),
            client_entry("rms", "agency", key, scopes={"encounters:read"}, agencies={"MO0480100"}),
        ],
    )
    house.keyset.save(tmp_path / "keyset.json")
    async with receiving() as receiver:
        house.register({"mo-dss": endpoint(receiver.port)})
        settings = RouterSettings(
            port=port,
            database_dsn=database_dsn,
            keyset_file=tmp_path / "keyset.json",
            clients_file=tmp_path / "clients.json",
            endpoints_file=house.endpoints_file,
            policy_overrides={"juvenile_review_after": "PT5S"},
        )
        bus = EmbeddedBus(Database(database_dsn, schema="bus", pool_size=4))
        await bus.start()  # else only the consumers do, and we publish before them
        service = await build(settings, bus)
        stop = asyncio.Event()
        task = asyncio.create_task(service.run(stop))
        try:
            event = await house.report(adult())
            headers = encode_headers(event) + sequence_headers(0, 0)
            await write_log(database_dsn, Record(event.topic, event.key, headers, encode_value(event)))
            await until(house.deliveries, lambda seen: seen == {"mo-dss": "confirmed"})
            path = f"/v1/notices/{receiver.requests[0].webhook_id}/acknowledgements"
            body = json.dumps({"status": "accepted", "case_number": "C-1"}).encode()
            token = sign_request(key, "mo-dss", method="POST", path=path, body=body, now=datetime.now(UTC))
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
                answered = await http.post(
                    path, content=body, headers={"authorization": f"Bearer {token}", "content-type": "application/json"}
                )
            assert answered.status_code == 200, answered.text
            assert answered.json()["acknowledgements"][0]["status"] == "accepted"
            path = f"/v1/encounters/{event.key}/obligations"
            token = sign_request(key, "rms", method="GET", path=path, body=b"", now=datetime.now(UTC))
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
                read = await http.get(path, headers={"authorization": f"Bearer {token}"})
                ready = (await http.get("/readyz")).json()
            (subject,) = read.json()["subjects"]
            obligations = {one["duty_id"]: one for one in subject["obligations"]}
            assert obligations["MO.566_223.DSS"]["state"] == "done"
            # 20 minutes after discovery, where the policy wants 15.
            assert obligations["MO.566_223.DSS"]["late_by"]["against"] == "policy"
            assert obligations["MO.210_1500.HOTLINE"]["because"] == ["adult"]
            assert obligations["MO.210_1500.HOTLINE"]["citation_verified"] is True
            assert obligations["US.41307.NCIC"]["citation_verified"] is False
            assert ready["law_version"] == obligations["MO.566_223.DSS"]["law_version"] == house.law.version
            assert ready["policy_version"].startswith(house.law.policy_version.partition("+")[0])
        finally:
            stop.set()
            await asyncio.wait_for(task, 20)
            await bus.close()
    assert len(receiver.requests) == 1
    assert os.stat(house.endpoints_file).st_mode & 0o077 == 0


def broken(law: Path) -> None:
    next((law / "duties").glob("*.yaml")).write_text("- id: [", encoding="utf-8")


def edited(law: Path) -> None:
    with (law / "calendars.yaml").open("a", encoding="utf-8") as file:
        file.write("  another: {cite: [x], observed: as_dated, holidays: [{name: X, month: 1, day: 1}]}\n")


def of_a_day_to_come(law: Path) -> None:
    file = law / "release.yaml"
    given = yaml.safe_load(file.read_text("utf-8")) | {"version": "2999.1.0", "in_force_from": date(2999, 1, 1)}
    file.write_text(yaml.safe_dump(given), encoding="utf-8")
    archive(law)


@pytest.mark.parametrize(
    ("change", "why", "words"),
    [
        (broken, "law_refused", ".yaml, line "),
        (edited, "law_refused", "run `firstnotice law archive`"),
        (of_a_day_to_come, "law_awaited", "2999.1.0 is in force from 2999-01-01; start again on that day"),
    ],
)
async def test_what_cannot_be_applied_leaves_the_last_good_release_in_force_and_says_so(
    house: House, database_dsn: str, tmp_path: Path, change: Callable[[Path], None], why: str, words: str
) -> None:
    shutil.copytree(LAW, tmp_path / "law")
    change(tmp_path / "law")
    await migrate(database_dsn, [BUS])
    write_clients(tmp_path / "clients.json", [])
    house.keyset.save(tmp_path / "keyset.json")
    house.register({})
    settings = RouterSettings(
        database_dsn=database_dsn,
        keyset_file=tmp_path / "keyset.json",
        clients_file=tmp_path / "clients.json",
        endpoints_file=house.endpoints_file,
        law_path=tmp_path / "law",
    )
    bus = EmbeddedBus(Database(database_dsn, schema="bus", pool_size=1))
    service = await build(settings, bus)
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://router") as http:
            shown = (await http.get("/readyz")).json()
    finally:
        await service.close()
        await bus.close()
    assert shown["law_version"] == house.law.version
    assert words in shown[why]

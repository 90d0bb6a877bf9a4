"""What first notices wait while a release of the law is applied to everybody who is stored.

Four children start and evaluate, one after the other, with a pause before each: what is told then, between the same
encounters of the same minute, is what it is held against. A host whose speed changes changes both.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.measuring import percentile
from benchmarks.pipeline import Agency, installation
from benchmarks.stored_persons import load
from kernel.database import Database
from kernel.keyset import Keyset
from launcher.postgres import EmbeddedPostgres
from rulebook.loader import LAW, Law
from services.eligibility.adapters.rerun_process import RerunProcess

PERSONS = 6000
PER_SECOND = 20
ALONE, STARTS, EVALUATES = "alone", "while_a_child_starts", "while_it_evaluates"


async def first_notices(law: Law, folder_of_next: Path) -> dict[str, Any]:
    """Accepted to first byte in milliseconds, by what was under way when the encounter was accepted."""
    async with installation(cluster=False) as there, aiohttp.ClientSession() as http:
        server, keyset = EmbeddedPostgres(there.home.postgres), Keyset.load(there.home.keyset)
        database = Database(server.dsn, schema="eligibility", role="fn_eligibility", pool_size=2)
        await load(server, database, keyset, law, PERSONS)
        await database.close()
        agency = Agency(there, http)
        await agency.at_rate(PER_SECOND, 3)  # warm caches, connections and plans
        await agency.all_told()
        agency.forget()
        variables = {
            "FIRSTNOTICE_DATABASE_DSN": server.dsn,
            "FIRSTNOTICE_KEYSET_FILE": str(there.home.keyset),
            "FIRSTNOTICE_CLIENTS_FILE": str(there.home.clients),
        }
        phases: list[tuple[float, str]] = []
        working = asyncio.create_task(_apply(variables, [folder_of_next, LAW] * 2, phases))
        while not working.done():
            await agency.at_rate(PER_SECOND, 0.5)
        await working
        await agency.all_told()
    return {"persons": PERSONS, "accept_to_first_byte_ms": _by_phase(agency, phases)}


async def _apply(variables: dict[str, str], folders: Sequence[Path], phases: list[tuple[float, str]]) -> None:
    """One release after the other, each applied to everybody by a child of the service."""
    for folder in folders:
        phases.append((time.monotonic(), ALONE))
        await asyncio.sleep(4)
        phases.append((time.monotonic(), STARTS))
        child = RerunProcess(variables | {"FIRSTNOTICE_LAW_PATH": str(folder)})
        await child.start()
        async for _ in child.progress():
            if phases[-1][1] == STARTS:
                phases.append((time.monotonic(), EVALUATES))
        if (status := await child.ended()) != 0:
            raise SystemExit(f"the evaluation of everybody ended with status {status}")


def _by_phase(agency: Agency, phases: Sequence[tuple[float, str]]) -> dict[str, Any]:
    waits: dict[str, list[float]] = {ALONE: [], STARTS: [], EVALUATES: []}
    for encounter, accepted in agency.accepted.items():
        under_way = [phase for began, phase in phases if began <= accepted]
        if under_way:
            moments = agency.arrived[encounter].values()
            waits[under_way[-1]] += [max(0.0, moment - accepted) * 1000 for moment in moments]
    return {phase: _percentiles(found) for phase, found in waits.items()}


def _percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    return {"notices": len(milliseconds)} | {f"p{p}": round(percentile(milliseconds, p / 100), 1) for p in (50, 90, 99)}

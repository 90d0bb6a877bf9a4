"""The work that goes on meanwhile: encounters that arrive steadily, are amended, and some of them retracted.

What becomes of an encounter is settled by the seed and its number; when it is, by how the campaign goes.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from contracts.events import EncounterRetracted
from tests.faults.campaign.ground import AWAY, Ground
from tests.faults.campaign.strangers import publish
from tests.faults.posting import Poster, an_encounter

EVERYONE = frozenset({"mo-dss", "mo-jo-16", "us-hhs-otip"})
ADULT, MINOR = frozenset({"mo-dss"}), EVERYONE
AT_ONCE = 96
"""Encounters under way; more wait at the door, so that an outage does not pile them up."""
MOST_AMENDMENTS = 3
RETRACTED = 0.15

ANSWERS_AFTER_WHICH_ONE_SENDS_AGAIN = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Amendment:
    """After `gap` seconds; `told`: who has to be told from now on, None if that stays as it was."""

    gap: float
    subject: Mapping[str, Any]
    told: frozenset[str] | None


@dataclass
class Life:
    """One encounter from its report to its last amendment, and what is known to be accepted of it."""

    report: Mapping[str, Any]
    told: frozenset[str]
    """Whom the law names as things stand."""
    amendments: tuple[Amendment, ...]
    to_be_retracted: bool
    encounter_id: str | None = None
    versions: list[int] = field(default_factory=list)
    """Accepted record versions, in order."""
    retracted_by: UUID | None = None
    """The event of the retraction."""
    finished: bool = False
    """Whether everything that was to be accepted of it is."""

    @property
    def begun(self) -> bool:
        return bool(self.versions)


def life_of(seed: int, number: int) -> Life:
    random = Random(f"life {number} of {seed}")
    kind = random.randrange(3)
    report, told = an_encounter(kind)
    report["record_version"] = 1
    amendments = tuple(_amendment(random, version) for version in range(2, 2 + random.randint(0, MOST_AMENDMENTS)))
    return Life(report, frozenset(told), amendments, random.random() < RETRACTED)


def _amendment(random: Random, version: int) -> Amendment:
    gap = round(random.uniform(0.0, 4.0), 2)
    choices: list[tuple[Mapping[str, Any], frozenset[str] | None]] = [
        ({"narrative": f"version {version}"}, None),
        ({"identity": {"given_name": f"Given {version}"}}, None),
        ({"age": {"years": 16, "verified_by": "document"}, "narrative": f"version {version}"}, MINOR),
        ({"age": {"years": 34, "verified_by": "document"}, "narrative": f"version {version}"}, ADULT),
    ]
    change, told = random.choice(choices)
    return Amendment(gap, {"subject_number": 1, **change}, told)


class Load:
    """Lives that begin `rate` times a second until `stop`, and are then lived to their end."""

    def __init__(self, ground: Ground, seed: int, rate: float) -> None:
        self._ground = ground
        self._seed = seed
        self._rate = rate
        self._poster = Poster(ground.world, retried=ANSWERS_AFTER_WHICH_ONE_SENDS_AGAIN)
        self.lives: list[Life] = []
        self.answers = self._poster.answers

    async def run(self, stop: asyncio.Event) -> None:
        random = Random(f"arrivals of {self._seed}")
        room = asyncio.Semaphore(AT_ONCE)
        async with self._poster.client() as http, asyncio.TaskGroup() as group:

            async def live(life: Life) -> None:
                try:
                    await self._live(http, life)
                finally:
                    room.release()

            while not stop.is_set():
                await room.acquire()
                self.lives.append(life_of(self._seed, len(self.lives)))
                group.create_task(live(self.lives[-1]))
                await asyncio.sleep(random.expovariate(self._rate))

    async def _live(self, http: httpx.AsyncClient, life: Life) -> None:
        answer = await self._poster.post(http, "", life.report)
        life.encounter_id = answer["encounter_id"]
        life.versions.append(1)
        for version, amendment in enumerate(life.amendments, 2):
            await asyncio.sleep(amendment.gap)
            # The next one only after the answer: the order of acceptance is then known here.
            body = {"record_version": version, "subjects": [amendment.subject]}
            await self._poster.post(http, f"/{life.encounter_id}/amendments", body)
            life.versions.append(version)
            if amendment.told is not None:
                life.told = amendment.told
        if life.to_be_retracted and await self._decided(life):
            encounter_id = UUID(life.encounter_id)
            data = EncounterRetracted(record_version=life.versions[-1], reason_code="in_error")
            life.retracted_by = await publish(self._ground, encounter_id, data, None)
            life.told = frozenset()
        life.finished = True

    async def _decided(self, life: Life) -> bool:
        """Waits until the router has decided on the last version, so that the log has it before the retraction.

        Not for ever: what is stuck is found at the end without that.
        """
        for _ in range(120):
            try:
                connection = await asyncpg.connect(self._ground.world.dsn, timeout=5)
                try:
                    version = await connection.fetchval(
                        "SELECT record_version FROM router.subject WHERE encounter_id = $1",
                        UUID(life.encounter_id or ""),
                        timeout=5,
                    )
                finally:
                    connection.terminate()
            except AWAY:
                version = None
            if version == life.versions[-1]:
                return True
            await asyncio.sleep(1.0)
        return False
